"""The user's own defects, cut out of photographs, painted elsewhere."""

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.random import Generator
from PIL import Image

from anomaly_diffusion.data.painting.families.family import Drawing, Family, Form, Outline, Sketch, placed
from anomaly_diffusion.data.painting.families.pictures import pictures
from anomaly_diffusion.data.reading.photographs import read_pixels

__all__ = ["OwnCrops"]


class OwnCrops(Family):
    """Crops of real defects: each gives outline and texture; width, contrast, roughness are as asked for.

    Args:
        folder: images, at any depth. Where one has an alpha channel, what is opaque is the defect; of another, what
            differs from the border of the crop by more than half of what it does at most.
    """

    kind = "own"
    elongated = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Turn a crop, and put it where the form is.

        Raises:
            ValueError: if there is no such folder, or no image in it.
            BadImages: if a crop cannot be read.
        """
        pattern, pixels = self._crops[int(generator.integers(len(self._crops)))]
        turn, channels = generator.uniform(0, 2 * np.pi), sketch.image.shape[2]
        outline = placed(pattern, sketch, form, turn)
        around = pixels[pattern < 128] if (pattern < 128).any() else np.array(255)
        shown = pixels if pixels.shape[2] == channels else pixels.mean(axis=2, keepdims=True).repeat(channels, axis=2)
        fine = placed(pattern, sketch, form, turn, shown)
        material = cv2.resize(fine, sketch.size[::-1], interpolation=cv2.INTER_AREA).reshape(sketch.image.shape)
        sign = -1 if pixels[pattern >= 128].mean() < around.mean() else 1
        return Drawing(outline, material, sign, np.ones(channels, np.float32))

    @cached_property
    def _crops(self) -> list[tuple[Outline, Float32[np.ndarray, "h w C"]]]:
        """Outline (255 inside) and pixels of each crop."""
        return [_crop(path) for path in pictures(self.folder, "defects")]


def _crop(path: Path) -> tuple[Outline, Float32[np.ndarray, "h w C"]]:
    pixels = read_pixels(path).astype(np.float32)
    with Image.open(path) as file:
        alpha = np.asarray(file.getchannel("A")) if "A" in file.getbands() else None
    if alpha is not None and alpha.min() < alpha.max():
        return alpha, pixels
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    change = np.abs(pixels - np.median(border, axis=0)).max(axis=2)
    return np.where(change > change.max() / 2, 255, 0).astype(np.uint8), pixels
