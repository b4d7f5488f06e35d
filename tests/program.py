"""The command line in processes of its own, which can be made to meet with accidents."""

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

TINY = {
    "trainer": {"max_steps": 14, "val_check_interval": 4, "log_every_n_steps": 1, "accelerator": "cpu"},
    "data": {
        "dataset": {"class_path": "Textures", "init_args": {"train": 24, "test": 8, "validation": 8, "crop": 16}},
        "image_size": [16, 16], "batch_size": 4, "channels": 1,  # six steps in an epoch: validation falls inside
        "augmentation": {"horizontal_flip": True, "crop": [12, 12], "scales": [1.0, 0.5]},
    },
    "model": {
        "class_path": "PixelDetector",
        "init_args": {
            "backbone": {
                "class_path": "UNet",
                "init_args": {"width": 8, "multipliers": [1, 2], "dropout": 0.1, "coordinates": True},
            },
            "schedule": "CosineSchedule", "parametrisation": "VelocityPrediction",
            "noise": {"class_path": "GaussianNoise"}, "objective": {"shallowest": 0.05, "deepest": 1.5},
            "reconstruction": {"class_path": "OneShot", "init_args": {"depths": [0.5], "draws": 1}},
            "scoring": {"residuals": ["L1Residual", "ActivationResidual"]}, "scales": [1.0, 0.5],
        },
    },
    "ema": {"decay": 0.9},
    "wandb": {"mode": "disabled"},
}  # fmt: skip


@cache
def server() -> subprocess.Popen[str]:
    """The process whose forks carry out commands: one for all tests of this process, for it takes long to begin."""
    command = [sys.executable, str(Path(__file__).with_name("forked.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment(), **pipes)
    atexit.register(end, process)
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Let it end."""
    process.stdin.close()
    process.stdout.close()
    process.wait()


def environment() -> dict[str, str]:
    """The variables of this process, and what every command needs."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


class Program:
    """The command line, in processes of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))

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
            "environment": environment(),
        }
        process = server()
        print(json.dumps(order), file=process.stdin, flush=True)
        return int(process.stdout.readline()), output.read_text()

    def run(self, name):
        return self.folder / "runs" / "tiny" / name
