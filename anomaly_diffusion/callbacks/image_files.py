"""Files of single images: anomaly maps, as drawn and as numbers, and the tiles that a report shows."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.figures.result_pictures import ResultPictures, cut

SCALE, OFFSET = 1 / 512, -16.0  # 16-bit files reach from -16 to 112 standard deviations in steps of 0.002


def npy(anomaly_map: Float[ndarray, "H W"]) -> bytes:
    """A float32 NumPy file."""
    stream = io.BytesIO()
    np.save(stream, anomaly_map.astype(np.float32))
    return stream.getvalue()


def tiff(anomaly_map: Float[ndarray, "H W"]) -> bytes:
    """A 16-bit TIFF file: value = stored * SCALE + OFFSET, clipped at both ends."""
    stored = np.rint((anomaly_map - OFFSET) / SCALE).clip(0, 65535).astype(np.uint16)
    return bytes(cv2.imencode(".tiff", stored)[1])


def scale_note() -> dict[str, Any]:
    """What the numbers in a 16-bit file mean, to be written beside them."""
    return {
        "value": "stored * scale + offset",
        "scale": SCALE,
        "offset": OFFSET,
        "unit": "standard deviations of normal images",
        "clipped_to": [OFFSET, OFFSET + 65535 * SCALE],
    }


def at_original_size(
    anomaly_map: Float[Tensor, "1 H W"], valid: Bool[Tensor, "1 H W"], size: tuple[int, int]
) -> Float[Tensor, "1 h w"]:
    """The map without padding, stretched to (height, width) of the file; exact for images resized or letterboxed."""
    inside = cut(anomaly_map, valid)[None].float()
    return F.interpolate(inside, size=size, mode="bilinear", align_corners=False)[0]


def write_tiles(run: Path, pictures: ResultPictures, limit: float) -> None:
    """Write the tiles of an image, `tiles/<safe name>/image.png` and so on, below a run folder.

    Args:
        run: the run folder.
        pictures: of one image.
        limit: where the colour scale of the map ends, in standard deviations of normal images, > 0.
    """
    from anomaly_diffusion.figures.tiles import tile_files  # loads matplotlib

    for name, content in tile_files(pictures, limit).items():
        files.write(run / "tiles" / files.safe_name(pictures.path) / name, content)
