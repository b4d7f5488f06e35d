"""Shared by all tests."""

from collections.abc import Iterator

import pytest
import torch

import anomaly_diffusion  # noqa: F401  (before Lightning, which imports torchvision where it is installed)


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
