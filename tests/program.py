"""The command line in processes of its own, which can be made to meet with accidents."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

TINY = {
    "trainer": {"max_steps": 14, "val_check_interval": 4, "log_every_n_steps": 1, "accelerator": "cpu"},
    "data": {
        "dataset": {"class_path": "Textures", "init_args": {"train": 24, "test": 8, "validation": 8, "crop": 16}},
        "image_size": [16, 16], "batch_size": 4, "channels": 1,  # six steps in an epoch: validation falls inside
    },
    "model": {
        "class_path": "PixelDetector",
        "init_args": {
            "backbone": {"class_path": "UNet", "init_args": {"width": 8, "multipliers": [1, 2], "dropout": 0.1}},
            "schedule": "CosineSchedule", "parametrisation": "VelocityPrediction",
            "noise": {"class_path": "GaussianNoise"}, "objective": {"shallowest": 0.05, "deepest": 1.5},
            "reconstruction": {"class_path": "OneShot", "init_args": {"depths": [0.5], "draws": 1}}, "scoring": {},
        },
    },
    "ema": {"decay": 0.9},
    "wandb": {"mode": "disabled"},
}  # fmt: skip


class Program:
    """The command line, in processes of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
        command = [sys.executable, str(Path(__file__).with_name("forked.py"))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, *words, kill=None, processes=1, limits=None):
        """Carry out a command line, in so many processes as torchrun would; return its status and what it said.

        `limits` are the seconds and the megabytes that it may take.
        """
        output = self.folder / "output.txt"
        order = {
            "words": words,
            "folder": str(self.folder),
            "output": str(output),
            "kill": kill,
            "processes": processes,
            "limits": limits,
        }
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline()), output.read_text()

    def run(self, name):
        return self.folder / "runs" / "tiny" / name

    def close(self):
        """Let the processes end."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
