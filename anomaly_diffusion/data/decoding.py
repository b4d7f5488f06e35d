"""From the bytes of an image file to its pixels as they are stored."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Decoded", "decoded"]

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


class Decoded(NamedTuple):
    """What is in an image file.

    Attributes:
        pixels: grey (H, W), or (H, W, 3 or 4) in the order blue, green, red, alpha; of any type.
        lossy: whether the format changes values.
    """

    pixels: NDArray[np.generic]
    lossy: bool


def decoded(content: bytes) -> Decoded | None:
    """Decode a file, or return None if it is broken, stops early or is no image."""
    pixels = _silently_decoded(content) if _is_whole(content) else None
    return None if pixels is None else Decoded(pixels, _is_lossy(content))


def _is_lossy(content: bytes) -> bool:
    return content.startswith(_JPEG) or (content[8:12] == b"WEBP" and content[12:16] == b"VP8 ")


def _silently_decoded(content: bytes) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _is_whole(content: bytes) -> bool:
    """Tell files that stop early, which decode without complaint."""
    if content.startswith(_JPEG):
        return content.rfind(b"\xff\xd9") >= len(content) // 2  # an ending in the first half is a thumbnail's
    return _has_whole_chunks(content) if content.startswith(_PNG) else True


def _has_whole_chunks(png: bytes) -> bool:
    """Walk a PNG to its last chunk; a decoder would make room for every length that a spoilt chunk claims."""
    start = len(_PNG)
    while start + 12 <= len(png):
        if png[start + 4 : start + 8] == b"IEND":
            return True
        start += 12 + int.from_bytes(png[start : start + 4])  # length, kind, content, checksum
    return False
