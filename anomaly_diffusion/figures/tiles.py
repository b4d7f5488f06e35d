"""The four tiles of a judged image, image | reconstruction | difference | anomaly map, that every sheet composes."""

from typing import NamedTuple

import cv2
import numpy as np

from anomaly_diffusion.figures.canvas import RESIDUAL_WHITE, Picture, as_rgb, encoded, outlined, overlay, scaled
from anomaly_diffusion.figures.result_pictures import ResultPictures

__all__ = ["SINGLE", "Tiles", "tile_files", "tile_height", "tiles"]

SINGLE = 256  # height in pixels of the tiles of a single image


class Tiles(NamedTuple):
    """Pictures of one size, in [0, 1].

    Attributes:
        image: with the contour of the true defect.
        reconstruction: as it is.
        difference: from the reference, mean over channels; a quarter of the pixel range is white.
        anomaly_map: over the dimmed image, with the contour of the true defect.
    """

    image: Picture
    reconstruction: Picture
    difference: Picture
    anomaly_map: Picture


def tiles(pictures: ResultPictures, limit: float, height: int) -> Tiles:
    """Draw the tiles of one image.

    Args:
        pictures: of the image.
        limit: where the colour scale of the map ends, in standard deviations of normal images, > 0.
        height: of each tile, in pixels.
    """
    image, reconstruction = as_rgb(pictures.image), as_rgb(pictures.reconstruction)
    mask = scaled(pictures.mask.astype(np.float32), height, cv2.INTER_NEAREST) > 0.5
    difference = np.abs(as_rgb(pictures.reference) - reconstruction).mean(2) / RESIDUAL_WHITE
    large = scaled(image, height)
    return Tiles(
        image=outlined(large, mask),
        reconstruction=scaled(reconstruction, height),
        difference=as_rgb(scaled(difference.clip(0, 1), height)[..., None]),
        anomaly_map=outlined(overlay(large, scaled(pictures.anomaly_map, height), limit), mask),
    )


def tile_height(pictures: ResultPictures, tile: int) -> int:
    """The height of tiles that are `tile` pixels high at most: those of wide images are lower, to fit a screen."""
    H, W = pictures.mask.shape
    return int(tile * min(1.0, 1.5 * H / W))


def tile_files(pictures: ResultPictures, limit: float) -> dict[str, bytes]:
    """The tiles of a single image as PNG files, by their names."""
    drawn = tiles(pictures, limit, tile_height(pictures, SINGLE))
    return {f"{name}.png": encoded(tile) for name, tile in drawn._asdict().items()}
