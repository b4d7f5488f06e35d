"""Colour channels: detection of grey photographs that are stored as RGB, and conversion between grey and RGB."""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

__all__ = ["Pixels", "channels_of", "channels_seen", "in_bytes", "on_black", "with_channels"]

Pixels = UInt8[np.ndarray, "H W C"]

_CHROMA = 8  # levels between the channels of a pixel that JPEG adds to grey
_ODD = 0.001  # share of pixels that may differ by more
_BLOCKS = 16


def channels_of(pixels: Pixels) -> int:
    """Return 1 where all channels are equal, so that one of them says everything, and 3 otherwise."""
    return 1 if pixels.shape[2] == 1 or _is_grey(pixels, chroma=0, odd=0) else 3


def channels_seen(pixels: Pixels) -> int:
    """Return 1 for what is grey to the eye: channels that differ by 8 levels at most, at 99.9 % of the pixels."""
    return 1 if pixels.shape[2] == 1 or _is_grey(pixels, _CHROMA, _ODD) else 3


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Repeat grey to `channels`, or weigh RGB into grey (Rec. 601)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
    return np.repeat(pixels, channels, axis=2)


def in_bytes(values: UInt16[np.ndarray, "..."], white_level: int) -> UInt8[np.ndarray, "..."]:
    """Return 16-bit values in 8 bits; `white_level` becomes 255, what is brighter is clipped."""
    scaled = np.minimum(values.astype(np.float32) * (255 / white_level), 255)
    return np.asarray(scaled + 0.5, np.uint8)


def on_black(pixels: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    """Return three colours composited on black by their alpha: colours below full transparency are arbitrary."""
    opaque = pixels[..., 3:].astype(np.uint16)
    return np.asarray((pixels[..., :3] * opaque + 127) // 255, np.uint8)


def _is_grey(pixels: Pixels, chroma: int, odd: float) -> bool:
    """Look block by block: a coloured photograph is known for one after the first."""
    room = odd * pixels.shape[0] * pixels.shape[1]
    for coloured in _coloured(pixels, chroma):
        room -= coloured
        if room < 0:
            return False
    return True


def _coloured(pixels: Pixels, chroma: int) -> Iterator[int]:
    """Count in each block of rows the pixels whose channels differ by more than `chroma`."""
    rows = -(-len(pixels) // _BLOCKS)
    for start in range(0, len(pixels), rows):
        red, green, blue = cv2.split(pixels[start : start + rows])
        spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
        yield int(cv2.countNonZero(spread if chroma == 0 else cv2.compare(spread, chroma, cv2.CMP_GT)))
