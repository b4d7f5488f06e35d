"""Diffusion models that find defects in images.

The names below are what a notebook needs: parts to build from, `train` and `evaluate`, and what shows results. Each is
imported when it is first used, so that importing the package costs nothing and changes nothing in the interpreter.
Everything else is imported from the room it lives in.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AnomalyDataModule": "data.datamodule",
    "Folder": "data.layouts.folder",
    "MVTecAD": "data.layouts.mvtec",
    "Textures": "data.layouts.textures",
    "ImageBatch": "types",
    "Prediction": "types",
    "PixelDetector": "detectors.pixel_detector",
    "UNet": "networks.unet",
    "CosineSchedule": "diffusion.schedule",
    "Denoiser": "diffusion.denoiser",
    "OneShot": "reconstruction.one_shot",
    "PartialDiffusion": "reconstruction.partial_diffusion",
    "Scoring": "scoring.scorer",
    "train": "api",
    "evaluate": "api",
    "sweep": "api",
    "load": "api",
    "test_images": "api",
    "Inspector": "deploy.inspector",
    "Run": "runs.record",
    "comparison": "runs.display",
    "paired_comparison": "runs.display",
    "Picture": "runs.display",
    "Table": "runs.display",
    "gallery": "figures.gallery",
    "marked": "figures.gallery",
    "line_chart": "figures.line_chart",
    "parallel_coordinates": "figures.parallel_coordinates",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module 'anomaly_diffusion' has no attribute {name!r}")
    from anomaly_diffusion import torchvision_import

    torchvision_import.install()  # before Lightning, which imports torchvision
    return getattr(importlib.import_module(f"anomaly_diffusion.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
