"""Runs the verbs on a toy detector in a folder of their own."""

import os
from pathlib import Path

import pytest
import torch
import toy
import yaml

from anomaly_diffusion import cli
from anomaly_diffusion.commands import lightning

CONFIG = {
    "model": {"class_path": "ToyDetector"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
    "trainer": {"max_steps": 8, "val_check_interval": 4, "log_every_n_steps": 2, "accelerator": "cpu"},
    "wandb": {"mode": "disabled"},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run("fit", "--config", ...)` is the command line on `toy.yaml`, and returns the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lightning, "import_rooms", lambda: None)
    monkeypatch.setattr(lightning, "classes", lambda: (toy.ToyDetector, toy.ToyData, {}))
    Path("toy.yaml").write_text(yaml.safe_dump(CONFIG))
    before = dict(os.environ)
    yield lambda *arguments: cli.main(list(arguments))
    os.environ.clear()
    os.environ.update(before)
    torch.use_deterministic_algorithms(False)
