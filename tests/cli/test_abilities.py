import inspect
import subprocess
import sys

import pytest

from anomaly_diffusion.baselines.clip_model import CLIPNetwork
from anomaly_diffusion.cli import abilities
from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """A machine with all packages and no weights."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", abilities.WEIGHTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(abilities.importlib.util, "find_spec", lambda name: object())
    return tmp_path


def touch(path):
    path.parent.mkdir(parents=True)
    path.touch()


def test_each_line_says_what_is_missing_and_what_to_type() -> None:
    told = dict(abilities.rows())
    assert told["CLIP"].endswith(f"hf download {abilities.CLIP}")
    assert told["Stable Diffusion"].endswith(f"hf download {abilities.STABLE_DIFFUSION}")
    assert told["LoRA"] == "needs Stable Diffusion"
    assert "mobilenet_v2.safetensors" in told["features of torchvision"]
    assert f"export {WEIGHTS_VARIABLE}=" in told["features of timm"]


def test_packages_that_are_not_installed_come_with_the_command_that_installs_them(monkeypatch) -> None:
    monkeypatch.setattr(abilities.importlib.util, "find_spec", lambda name: None)
    told = dict(abilities.rows())
    assert told["Stable Diffusion"].startswith("diffusers and transformers not installed")
    for name in ("Stable Diffusion", "LoRA", "CLIP"):
        assert told[name].endswith("pip install 'anomaly-diffusion[baselines]'")
    assert told["features of timm"].endswith("pip install 'anomaly-diffusion[features]'")


def test_what_libraries_have_downloaded_is_found(bare) -> None:
    for name, file in ((abilities.CLIP, "config.json"), (abilities.STABLE_DIFFUSION, "model_index.json")):
        touch(bare / "huggingface/hub" / f"models--{name.replace('/', '--')}" / "snapshots/abc" / file)
    touch(bare / "huggingface/hub/models--timm--efficientnet_lite0.ra_in1k/refs")
    touch(bare / "torch/hub/checkpoints/mobilenet_v2-b0353104.pth")
    assert all(value.startswith("ready") for _, value in abilities.rows())


def test_what_lies_below_the_folder_of_weights_is_found(bare, monkeypatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(bare))
    touch(bare / abilities.CLIP / "config.json")
    (bare / "mobilenet_v2_features.safetensors").touch()
    told = dict(abilities.rows())
    assert told["CLIP"] == f"ready: {abilities.CLIP} in {bare}"
    assert told["features of torchvision"] == f"ready: mobilenet_v2 in {bare}"
    assert told["features of timm"].endswith(f"efficientnet_lite0.safetensors into {bare}")


def test_names_are_those_that_the_rooms_know() -> None:
    assert inspect.signature(CLIPNetwork).parameters["name"].default == abilities.CLIP
    assert abilities.WEIGHTS_VARIABLE == WEIGHTS_VARIABLE


def test_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "transformers", "diffusers", "huggingface_hub", "timm", "torchvision")
    program = (
        "import sys; from anomaly_diffusion.cli import abilities; list(abilities.rows());"
        f"print([module for module in {heavy} if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
