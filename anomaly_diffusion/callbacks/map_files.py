"""Anomaly maps as files, and at the size of the photograph they belong to."""

import io
from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

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


def box(valid: Bool[Tensor, "1 H W"]) -> tuple[slice, slice]:
    """Rows and columns of the photograph inside its padding."""
    rows, columns = valid[0].any(1).nonzero().flatten(), valid[0].any(0).nonzero().flatten()
    if not len(rows):
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def at_original_size(
    anomaly_map: Float[Tensor, "1 H W"], valid: Bool[Tensor, "1 H W"], size: tuple[int, int]
) -> Float[Tensor, "1 h w"]:
    """The map without padding, stretched to (height, width) of the file; exact for images resized or letterboxed."""
    rows, columns = box(valid)
    return F.interpolate(anomaly_map[None, :, rows, columns].float(), size=size, mode="bilinear", align_corners=False)[
        0
    ]
