"""The four tiles of a judged image that every sheet composes: of photographs and of features."""

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from anomaly_diffusion.figures.canvas import (
    RESIDUAL_WHITE,
    Picture,
    as_rgb,
    crossed,
    encoded,
    outlined,
    overlay,
    scaled,
)

if TYPE_CHECKING:
    from anomaly_diffusion.figures.result_pictures import ResultPictures  # imports torch

__all__ = ["SINGLE", "FeatureTiles", "Tiles", "legend", "overlay_file", "tile_files", "tile_height", "tiles"]

SINGLE = 256  # height in pixels of the tiles of a single image


class Tiles(NamedTuple):
    """Pictures of one size, in [0, 1].

    Attributes:
        image: as it is.
        reconstruction: as it is.
        difference: from the reference, mean over channels; a quarter of the pixel range is white.
        anomaly_map: over the dimmed image, with the contour of the true defect and a cross where the map is highest.
    """

    image: Picture
    reconstruction: Picture
    difference: Picture
    anomaly_map: Picture


class FeatureTiles(NamedTuple):
    """The same of a method that compares features.

    Attributes:
        image: as it is.
        features: of the image, in false colours.
        normal_features: what they would be if the image were normal, in the same colours.
        anomaly_map: as of `Tiles`.
    """

    image: Picture
    features: Picture
    normal_features: Picture
    anomaly_map: Picture


def tiles(pictures: "ResultPictures", limit: float, height: int) -> Tiles | FeatureTiles:
    """Draw the tiles of one image.

    Args:
        pictures: of the image.
        limit: where the colour scale of the map ends, in standard deviations of normal images, > 0.
        height: of each tile, in pixels.
    """
    image, reference, reconstruction = map(as_rgb, (pictures.image, pictures.reference, pictures.reconstruction))
    large, marked = scaled(image, height), _map(pictures, limit, height)
    if not pictures.photographs:
        features, normal = (scaled(one, height, cv2.INTER_NEAREST) for one in (reference, reconstruction))
        return FeatureTiles(large, features, normal, marked)
    difference = np.abs(reference - reconstruction).mean(2) / RESIDUAL_WHITE
    return Tiles(
        large, scaled(reconstruction, height), as_rgb(scaled(difference.clip(0, 1), height)[..., None]), marked
    )


def legend(pictures: "ResultPictures") -> list[str]:
    """What tiles mean, a line each."""
    if pictures.photographs:
        how = f"difference: of image and reconstruction; white is {RESIDUAL_WHITE:.0%} of the pixel range"
    else:
        how = "features, normal features: first three components as red, green, blue, in the same colours"
    return ["contour on the map: true defect; cross: where the map is highest", how]


def tile_height(pictures: "ResultPictures", tile: int) -> int:
    """The height of tiles that should be `tile` pixels high: less of wide images, to fit a screen, and more of tall."""
    H, W = pictures.mask.shape
    return int(tile * min(1.0, 1.5 * H / W) * min(2.0, max(1.0, H / W / 1.5)))


def tile_files(pictures: "ResultPictures", limit: float) -> dict[str, bytes]:
    """The tiles of a single image as PNG files, by their names."""
    drawn = tiles(pictures, limit, tile_height(pictures, SINGLE))
    return {f"{name}.png": encoded(tile) for name, tile in drawn._asdict().items()}


def overlay_file(image: Picture, anomaly_map: Float[np.ndarray, "H W"], limit: float) -> bytes:
    """A map over its photograph as a PNG of the map's size, with a cross where it is highest.

    Args:
        image: pixels in [0, 1], one or three channels, of any size.
        anomaly_map: at the size of the file, in standard deviations of normal images.
        limit: where the colour scale ends, > 0.
    """
    size = anomaly_map.shape[1], anomaly_map.shape[0]
    large = cv2.resize(np.ascontiguousarray(as_rgb(image)), size, interpolation=cv2.INTER_CUBIC)
    row, column = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    return encoded(crossed(overlay(large, anomaly_map, limit), (int(column), int(row))))


def _map(pictures: "ResultPictures", limit: float, height: int) -> Picture:
    """Over the dimmed image, with the contour of the true defect and a cross at the peak."""
    values = pictures.anomaly_map
    mask = scaled(pictures.mask.astype(np.float32), height, cv2.INTER_NEAREST) > 0.5
    drawn = outlined(overlay(scaled(as_rgb(pictures.image), height), scaled(values, height), limit), mask)
    column, row = pictures.peak
    across, down = drawn.shape[1] / values.shape[1], drawn.shape[0] / values.shape[0]
    return crossed(drawn, (int((column + 0.5) * across), int((row + 0.5) * down)))
