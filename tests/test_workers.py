"""A command of the docs with processes that make batches, however they are started; W&B is offline."""

import os
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from program import Program

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts.folder import Folder
from anomaly_diffusion.data.transforms import Augmentation

ROOT = Path(__file__).parents[1]
CALLED = "import sys, torch.multiprocessing as m\nif __name__ == '__main__':\n m.set_start_method(sys.argv.pop(1))\n {}"
MAIN = "from anomaly_diffusion.cli.main import main; sys.exit(main(sys.argv[1:]))"
SMALL = (
    *("--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--data.batch_size", "4"),
    *("--data.image_size", "[16,16]", "--model.init_args.backbone.init_args.width", "8"),
    *("--model.init_args.reconstruction.init_args.depths", "[0.5]", "--trainer.accelerator", "cpu"),
    *("--panels.count", "1", "--trajectories.count", "1", "--failures.worst", "1"),
)


def commands():
    """The docs' command for pixel diffusion on a folder, and the option for processes that they recommend."""
    typed = re.findall(r"^anomaly-diffusion (train .*)", (ROOT / "docs/choosing_a_method.md").read_text(), re.MULTILINE)
    (train,) = (line for line in typed if "model/pixel.yaml" in line and "data/folder.yaml" in line)
    (option,) = re.findall(r"(--data\.loading\.num_workers) \d", (ROOT / "docs/data.md").read_text())
    return shlex.split(train), option


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the command is typed: beside the photographs."""
    folder = tmp_path_factory.mktemp("workers")
    random = np.random.default_rng(0)
    for use, count in {"good": 20, "scratch": 3}.items():
        (folder / "photographs" / use).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photographs" / use / f"{number:02}.png")
    (folder / "program.py").write_text(CALLED.format(MAIN))
    return folder


def ended_well(folder, name):
    """The run is whole, and so is what W&B has of it."""
    (run,) = (folder / "runs").glob(f"*/{name}")
    assert (run / "summary.json").is_file()
    assert len(list(run.glob("wandb/offline-run-*/*.wandb"))) == 1


@pytest.fixture
def words(monkeypatch):
    """`words(workers, name)` is the command in a small setting."""
    for key in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(key)
    train, option = commands()
    return lambda workers, name: [
        *train,
        option,
        workers,
        "--data.augmentation.horizontal_flip=true",
        "--run",
        name,
        *SMALL,
    ]


def test_the_command_of_the_docs_trains(folder, words):
    status, said = Program(folder)(*words("1", "fork"))
    assert status == 0, said
    ended_well(folder, "fork")


def test_what_a_spawned_worker_is_sent_makes_the_same_batches(folder):
    data = AnomalyDataModule(
        Folder(folder / "photographs"), (16, 16), batch_size=4, augmentation=Augmentation(horizontal_flip=True)
    )
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader()):
        sent = loader.dataset, loader.collate_fn, loader.worker_init_fn
        source, collate, _ = pickle.loads(pickle.dumps(sent))
        places = next(iter(loader.batch_sampler))
        here, there = (make(it.__getitems__(places)) for make, it in ((sent[1], sent[0]), (collate, source)))
        assert here.path == there.path
        assert torch.equal(here.image, there.image)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("workers", "start", "cache_mb"),
    [(1, "spawn", 2048), (0, "fork", 2048), (2, "fork", 0), (2, "forkserver", 0)],  # to "spawn" all is sent anew
)
def test_the_command_of_the_docs_trains_however_workers_are_started(folder, words, workers, start, cache_mb):
    name = f"{start}-{workers}-{cache_mb}"
    command = [sys.executable, "program.py", start, *words(str(workers), name), f"--data.loading.cache_mb={cache_mb}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ended_well(folder, name)
