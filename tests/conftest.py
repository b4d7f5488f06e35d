"""Shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from anomaly_diffusion import torchvision_import

torchvision_import.install()  # before Lightning, which imports torchvision where it is installed


def pytest_configure() -> None:
    """One thread: tensors here are tiny, and threads that wait for one another cost more than they give."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_global_state() -> Iterator[None]:
    """Every test starts from the same random state, so that none depends on the order in which they run."""
    torch.manual_seed(0)
    yield
    torch.use_deterministic_algorithms(False)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests with random inputs go on."""
    parser.addoption("--inputs", type=int, default=2000, help="spoilt files that tests/test_fuzz.py tries")


TOY_CONFIG = {
    "model": {"class_path": "LineDetector"},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
    "trainer": {"max_steps": 8, "val_check_interval": 4, "log_every_n_steps": 2, "accelerator": "cpu"},
    "wandb": {"mode": "disabled"},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run("fit", "--config", ...)` is the command line on `toy.yaml`, and returns the exit status."""
    import toy  # loads Lightning, which few tests need

    from anomaly_diffusion.cli import main
    from anomaly_diffusion.cli.parsing import lightning_cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lightning_cli, "import_rooms", lambda: None)
    monkeypatch.setattr(lightning_cli, "classes", lambda: (toy.LineDetector, toy.ToyData, {}))
    Path("toy.yaml").write_text(yaml.safe_dump(TOY_CONFIG))
    before = dict(os.environ)
    yield lambda *arguments: main.main(list(arguments))
    os.environ.clear()
    os.environ.update(before)
    torch.use_deterministic_algorithms(False)
