"""Reads photographs and masks: 8 or 16 bit, grey, RGB, with alpha, or with a palette; bad files are named."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from anomaly_diffusion.data.reading.colour import Pixels, channels_of, in_bytes, on_black
from anomaly_diffusion.data.reading.decoding import Decoded, decoded
from anomaly_diffusion.data.reading.marking import marked
from anomaly_diffusion.data.reading.notes import Deep, FaintMask, LargeMask, Pages, SoftMask, Turned, note
from anomaly_diffusion.data.reading.orientation import upright

__all__ = [
    "BadImages",
    "Mask",
    "Pixels",
    "along",
    "read_mask",
    "read_pixels",
]

Mask = Bool[np.ndarray, "H W"]

_SHOWN = 10


class BadImages(ValueError):
    """Every file of a data set that cannot be used, in one message.

    Args:
        problems: what is wrong with each file and what mends it, by the file's path.
    """

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        lines = [f"  {path}: {problem}" for path, problem in list(problems.items())[:_SHOWN]]
        more = [f"  ... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        noun = "file is" if len(problems) == 1 else "files are"
        super().__init__("\n".join([f"{len(problems)} {noun} unusable:", *lines, *more]))

    def __reduce__(self) -> tuple[type, tuple[dict[str, str]]]:
        """Pickle the problems: the message alone would not make the error again in another process."""
        return type(self), (self.problems,)


def read_pixels(path: Path, white_level: int = 65535) -> Pixels:
    """Decode a photograph to 8 bit and one (grey) or three (RGB) channels; equal channels are grey.

    Alpha is composited on black, as colours below full transparency are arbitrary. A palette is looked up.
    The orientation tag of a camera is applied, in every format, as viewers and labelling tools do.

    Args:
        path: the file.
        white_level: value of a 16-bit file that becomes 255; brighter ones are clipped.

    Raises:
        BadImages: if the file is missing, empty, broken or of an unknown kind.
    """
    found = _decode(path)
    if found.orientation != 1:
        note(Turned(path))
    if found.pixels.shape[:2] == (1, 1):
        raise BadImages({str(path): "is 1 x 1 pixel, no photograph; copy it again or delete it"})
    pixels = _to_bytes(found.pixels, path, white_level)
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] == 4:
        pixels = on_black(pixels)
    if pixels.shape[2] != 3:
        raise BadImages({str(path): f"has {pixels.shape[2]} channels; store it as grey, RGB or RGBA"})
    return np.ascontiguousarray(pixels[..., ::-1] if channels_of(pixels) == 3 else pixels[..., :1])


def read_mask(path: Path, size: tuple[int, int], photograph: Path | None = None) -> Mask:
    """Read the defect pixels of a photograph, by the rule of `marking.marked`.

    Args:
        path: the mask file.
        size: height and width of the photograph.
        photograph: its file; a mask that fits its pixels as they are stored only is turned as they are.

    Raises:
        BadImages: if the mask is missing, broken, empty or of another size.
    """
    if not path.is_file():
        raise BadImages({str(path): "mask is missing; add it, or delete the photograph"})
    found = _decode(path)
    mask, soft, faint = marked(found.pixels, found.lossy)
    mask = along(mask, size, photograph)
    if mask.shape != size:
        rule = "a mask has the size of its photograph"
        raise BadImages({str(path): f"mask is {_by(mask.shape)}, its photograph {_by(size)}; {rule}"})
    if not mask.any():
        raise BadImages({str(path): "mask is empty; mark the defect, or move the photograph to the good ones"})
    note(SoftMask(path, soft))
    if faint:
        note(FaintMask(path))
    if mask.mean() > 0.5:
        note(LargeMask(path))
    return mask


def along(mask: Mask, size: tuple[int, int], photograph: Path | None) -> Mask:
    """Turn a mask as its photograph is turned, if it was drawn on the pixels as they are stored, going by its size."""
    if photograph is None or mask.shape == size or mask.shape != size[::-1]:
        return mask
    orientation = _decode(photograph).orientation
    return np.asarray(upright(mask, orientation), bool) if orientation > 4 else mask


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _decode(path: Path) -> Decoded:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadImages({str(path): f"cannot be read ({error.strerror})"}) from None
    if not content:
        raise BadImages({str(path): "is empty (0 bytes); copy it again or delete it"})
    found = decoded(content)
    if found is None:
        raise BadImages({str(path): "is corrupt or no image; copy it again or delete it"})
    if found.pages > 1:
        note(Pages(path, found.pages))
    return found


def _to_bytes(pixels: NDArray[np.generic], path: Path, white_level: int) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype == np.uint16:
        note(Deep(path, int(pixels.max()), white_level))
        return in_bytes(pixels.astype(np.uint16, copy=False), white_level)
    raise BadImages({str(path): f"has pixels of type {pixels.dtype}; store 8 or 16 bit unsigned integers"})
