"""Which frozen networks and baselines can run on this machine, and what to type where one cannot.

Nothing heavy is imported: packages and files are only looked for.
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

WEIGHTS_VARIABLE = "ANOMALY_DIFFUSION_WEIGHTS"
STABLE_DIFFUSION, CLIP = "stable-diffusion-v1-5/stable-diffusion-v1-5", "openai/clip-vit-base-patch16"
_BASELINES, _FEATURES = "pip install 'anomaly-diffusion[baselines]'", "pip install 'anomaly-diffusion[features]'"
_FROZEN = {"torchvision": "mobilenet_v2", "timm": "efficientnet_lite0"}  # the networks that experiments name
_READY = "ready"


def rows() -> Iterator[tuple[str, str]]:
    """Yield what there is, as name and either where it was found or what to do."""
    for package, network in _FROZEN.items():
        yield f"features of {package}", absent([package], _FEATURES) or _frozen(package, network)
    foreign = absent(["diffusers", "transformers"], _BASELINES) or _model(STABLE_DIFFUSION, "model_index.json")
    yield "Stable Diffusion", foreign
    yield "LoRA", absent(["peft"], _BASELINES) or (_READY if foreign.startswith(_READY) else "needs Stable Diffusion")
    yield "CLIP", absent(["transformers"], _BASELINES) or _model(CLIP, "config.json")


def absent(packages: list[str], mend: str) -> str:
    """Name the packages that are not installed, and the command that installs them; nothing if all are there."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return f"{' and '.join(missing)} not installed. Run: {mend}" if missing else ""


def hub_cache() -> Path:
    """Return the folder in which Hugging Face keeps models."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _cached(name: str, file: str) -> bool:
    return any((hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots").glob(f"*/{file}"))


def _model(name: str, file: str) -> str:
    """Tell where a model of the hub lies: below the folder of weights, or in the cache."""
    folder = _weights()
    if folder and (folder / name / file).is_file():
        return f"{_READY}: {name} in {folder}"
    if _cached(name, file):
        return f"{_READY}: {name} in {hub_cache()}"
    return f"not in {hub_cache()}. Run once, online: hf download {name}"


def _frozen(package: str, network: str) -> str:
    """Tell where the weights of a frozen network lie: where we look first, or where its library keeps them."""
    folder = _weights()
    kept = {"torchvision": (_torch_cache(), f"{network}-*.pth"), "timm": (hub_cache(), f"models--timm--{network}.*")}
    for place, pattern in ((folder, f"{network}*.safetensors"), kept[package]):
        if place and any(place.glob(pattern)):
            return f"{_READY}: {network} in {place}"
    mend = f"into {folder}" if folder else f"into a folder, and run: export {WEIGHTS_VARIABLE}=FOLDER"
    return f"no weights of {network}: go online once, or put {network}.safetensors {mend}"


def _torch_cache() -> Path:
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def _weights() -> Path | None:
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return Path(folder) if folder else None
