"""What people hold in their hands as a photograph: a path, a picture of Pillow, an array, a tensor."""

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_diffusion.data.reading.colour import channels_of, in_bytes, on_black
from anomaly_diffusion.data.reading.photographs import Pixels, read_pixels
from anomaly_diffusion.data.sample import stable_hash

__all__ = ["GivenImage", "given"]

_WHITE = 65535


@dataclass(frozen=True)
class GivenImage:
    """A photograph as files become: grey or RGB, 8 bit.

    Attributes:
        name: of the file; of what is no file, "image".
        key: a number that names it for good, from which noise is drawn: by the name of a file, or by the pixels.
        pixels: what it shows.
        category: its number, where a run knows several apart.
    """

    name: str
    key: int
    pixels: Pixels
    category: int = 0


def given(image: Any, white_level: int = _WHITE) -> GivenImage:
    """Take a photograph in any of the forms that people have it in.

    Args:
        image: a path; a picture of Pillow; an array (H, W) or (H, W, 1, 3 or 4), RGB, of uint8, uint16 or of floats in
            [0, 1]; a tensor (H, W) or (1, 3 or 4, H, W), as torch has images.
        white_level: value of 16 bits that is white.

    Raises:
        BadImages: the file cannot be used.
        TypeError: it is nothing of the kind.
        ValueError: its shape or its values are not those of a photograph.
    """
    if isinstance(image, str | PathLike):
        path = Path(image)
        return GivenImage(path.name, stable_hash(path.name), read_pixels(path, white_level))
    pixels = _grey_or_rgb(_bytes(_array(image), white_level))
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
    return GivenImage("image", stable_hash(pixels.shape, digest), pixels)


def _array(image: Any) -> np.ndarray:
    if hasattr(image, "detach") and hasattr(image, "cpu"):  # a tensor, where torch need not be installed
        image = image.detach().cpu().numpy()
        return np.moveaxis(image, 0, -1) if image.ndim == 3 else image
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "getexif") and hasattr(image, "convert"):
        return _of_pillow(image)
    raise TypeError(
        f"`image` must be a path, a picture of Pillow, a NumPy array or a tensor, got {type(image).__name__}."
    )


def _of_pillow(image: Any) -> np.ndarray:
    """Upright, and in a mode that is an array."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode not in ("L", "RGB", "RGBA", "I;16", "I", "F"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    return np.asarray(upright)


def _bytes(values: np.ndarray, white_level: int) -> np.ndarray:
    """The same in 8 bits, rounded as 16-bit files are."""
    if values.ndim not in (2, 3) or 0 in values.shape or values.shape[:2] == (1, 1):
        raise ValueError(f"`image` must be H x W or H x W x channels, got the shape {values.shape}.")
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return in_bytes(values, white_level)
    if np.issubdtype(values.dtype, np.floating):
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"`image` of floats must lie in [0, 1], got [{low:.3g}, {high:.3g}]. Divide it by its white."
            )
        return np.asarray(values.astype(np.float32) * 255 + 0.5, np.uint8)
    raise ValueError(f"`image` must hold uint8, uint16 or floats in [0, 1], got {values.dtype}.")


def _grey_or_rgb(pixels: np.ndarray) -> Pixels:
    """Alpha composited on black and equal channels made one, as `read_pixels` does."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] == 4:
        pixels = on_black(pixels)
    if pixels.shape[2] not in (1, 3):
        raise ValueError(f"`image` must have 1, 3 or 4 channels, got {pixels.shape[2]}: arrays are H x W x channels.")
    return np.ascontiguousarray(pixels if channels_of(pixels) == 3 else pixels[..., :1])
