"""Images side by side, with their names, and maps laid over them."""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from anomaly_diffusion.figures.canvas import (
    FOOT,
    as_rgb,
    blank_figure,
    map_legend,
    outlined,
    overlay,
    png,
    scaled,
    write_text,
)
from anomaly_diffusion.figures.result_pictures import pixels
from anomaly_diffusion.runs.display import Picture

__all__ = ["gallery", "marked"]

_GAP, _HEAD, _EDGE = 4, 22, 10
_FINE = 256  # pixels to which an image is enlarged before a contour of two is drawn


def gallery(
    rows: Mapping[str, Mapping[str, Float[Tensor, "C H W"]]],
    tile: int = 120,
    side: int = 120,
    map_limit: float | None = None,
) -> Picture:
    """Rows of images with a name each; names of columns stand above the first row.

    Args:
        rows: images in [-1, 1] of one or three channels by the name of their column, by the name of their row.
        tile: height of one image, in pixels, > 0.
        side: room for the names of rows, in pixels, >= 0.
        map_limit: where the colour scale of anomaly maps ends, as in `marked`; the scale is drawn below all rows.

    Raises:
        ValueError: there is no image.
    """
    lines = {name: [_drawn(image, tile) for image in row.values()] for name, row in rows.items() if row}
    if not lines:
        raise ValueError("`rows` must hold an image, got none.")
    width = max(sum(picture.shape[1] + _GAP for picture in line) for line in lines.values())
    foot = FOOT if map_limit else 0
    size = (side + width + _EDGE, _HEAD + _EDGE + len(lines) * (tile + _GAP) + foot)
    figure, canvas = blank_figure(*size), np.ones((size[1], size[0], 3), dtype=np.float32)
    for place, (name, line) in enumerate(lines.items()):
        left, top = side, _HEAD + place * (tile + _GAP)
        write_text(figure, _EDGE, top + tile / 2, name, size=9, va="center")
        for column, picture in zip(rows[name], line, strict=True):
            canvas[top : top + tile, left : left + picture.shape[1]] = picture
            if place == 0:
                write_text(figure, left + picture.shape[1] / 2, 5, column, ha="center")
            left += picture.shape[1] + _GAP
    if map_limit:
        map_legend(figure, size, map_limit)
    return Picture(png(figure, canvas), width=max(900, size[0]))


def marked(
    image: Float[Tensor, "C H W"],
    anomaly_map: Float[Tensor, "H W"] | None = None,
    mask: Bool[Tensor, "H W"] | None = None,
    limit: float = 8.0,
) -> Float[Tensor, "3 h w"]:
    """The image with an anomaly map laid over it, with the contour of a true defect, or with both.

    Args:
        image: in [-1, 1].
        anomaly_map: in standard deviations of normal images.
        mask: pixels of the defect.
        limit: where the colour scale of the map ends, > 0.

    Returns:
        A larger image in [-1, 1], for a gallery.
    """
    height = max(_FINE, image.shape[1])
    picture = as_rgb(scaled(as_rgb(pixels(image)), height))
    if anomaly_map is not None:
        picture = overlay(picture, scaled(anomaly_map.detach().float().cpu().numpy(), height), limit)
    if mask is not None:
        picture = outlined(picture, scaled(mask.float().cpu().numpy(), height, cv2.INTER_NEAREST) > 0.5)
    return torch.from_numpy(np.moveaxis(picture, -1, 0).astype(np.float32)) * 2 - 1


def _drawn(image: Float[Tensor, "C H W"], tile: int) -> ndarray:
    """The image at the height of a tile; pixels that are enlarged stay squares."""
    enlarged = tile >= image.shape[1]
    return as_rgb(scaled(as_rgb(pixels(image)), tile, cv2.INTER_NEAREST if enlarged else cv2.INTER_CUBIC))
