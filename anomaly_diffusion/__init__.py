"""Diffusion models that find defects in images.

The names below are what a notebook needs: parts to build from, `train` and `evaluate`, and what shows results. Each is
imported when it is first used, so that importing the package costs nothing. Everything else is imported from the room
it lives in.
"""

import importlib
from typing import Any

from anomaly_diffusion import torchvision_import

__version__ = "0.1.0"

_HOMES = {
    "AnomalyDataModule": "data.datamodule",
    "Folder": "data.folder",
    "MVTecAD": "data.mvtec",
    "Textures": "data.textures",
    "ImageBatch": "types",
    "Prediction": "types",
    "PixelDetector": "detectors.pixel",
    "UNet": "networks.unet",
    "CosineSchedule": "diffusion.schedule",
    "Denoiser": "diffusion.denoiser",
    "OneShot": "reconstruction.one_shot",
    "PartialDiffusion": "reconstruction.partial_diffusion",
    "Scoring": "scoring.scorer",
    "train": "commands.study",
    "evaluate": "commands.study",
    "load": "commands.study",
    "test_images": "commands.study",
    "Run": "analysis.run",
    "comparison": "analysis.run",
    "Picture": "analysis.display",
    "Table": "analysis.display",
    "gallery": "analysis.gallery",
    "marked": "analysis.gallery",
    "line_chart": "analysis.lines",
}

__all__ = ["__version__", *_HOMES]

torchvision_import.install()


def __getattr__(name: str) -> Any:
    """Import a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module 'anomaly_diffusion' has no attribute {name!r}")
    return getattr(importlib.import_module(f"anomaly_diffusion.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
