"""Writes small images and masks, and makes data modules ready."""

from pathlib import Path

import cv2
import numpy as np


def write(path: Path, seed: int, size: tuple[int, ...] = (40, 48, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8))
    return path


def write_mask(path: Path, size: tuple[int, int] = (40, 48), value: int = 255) -> Path:
    mask = np.zeros(size, np.uint8)
    mask[10:20, 10:30] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)
    return path


def ready(data, *stages: str):
    """The data module, set up for these stages."""
    for stage in stages:
        data.setup(stage)
    return data
