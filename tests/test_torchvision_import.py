"""Importing the package changes nothing; its two front doors see to a torchvision that does not fit torch."""

import subprocess
import sys
from pathlib import Path

import pytest

_STATE = """
import os, signal, sys, warnings
def state():
    return list(sys.meta_path), dict(os.environ), list(warnings.filters), signal.getsignal(signal.SIGINT), sys.path[:]
def installed():
    return [type(finder).__module__ for finder in sys.meta_path].count("anomaly_diffusion.torchvision_import")
before = state()
"""


def said(source):
    done = subprocess.run([sys.executable, "-c", _STATE + source], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_changes_nothing():
    source = "import anomaly_diffusion; print(state() == before, [name for name in sys.modules if 'anomaly' in name])"
    assert said(source) == ["True", "['anomaly_diffusion']"]


@pytest.mark.parametrize(
    "door",
    [
        "import anomaly_diffusion.cli.main",
        "import anomaly_diffusion.api",
        "from anomaly_diffusion import ImageBatch",
        pytest.param(
            "import anomaly_diffusion; anomaly_diffusion.train; anomaly_diffusion.PixelDetector", marks=pytest.mark.soak
        ),
    ],
)
def test_each_front_door_installs_the_hook_once(door):
    assert said(f"{door}; print(installed())") == ["1"]


_IMPORTERS = {"diffusers", "pytorch_lightning", "torchmetrics", "torchvision", "transformers", "DiffusersUNet"}
_BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
_DOORS = {"torchvision_import", "anomaly_diffusion.cli", "anomaly_diffusion.api", "import anomaly_diffusion as ad"}


@pytest.mark.parametrize(
    "script", sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_a_benchmark_that_needs_torchvision_comes_through_a_door(script):
    imports = "\n".join(line for line in script.read_text().splitlines() if "import " in line)
    if any(name in imports for name in _IMPORTERS):
        assert any(door in imports for door in _DOORS)
