"""From the bytes of an image file to its pixels as they are stored."""

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Decoded", "decoded"]

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_TIFF = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
_BY_OPENCV = (_JPEG, _PNG, *_TIFF, b"BM", *(f"P{number}".encode() for number in range(1, 7)))
_PLAIN = "L", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I", "F"  # modes that are arrays as they are
_JPEG_2000 = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"


class Decoded(NamedTuple):
    """What is in an image file.

    Attributes:
        pixels: grey (H, W), or (H, W, 3 or 4) in the order blue, green, red, alpha; of any type.
        lossy: whether the format changes values.
    """

    pixels: NDArray[np.generic]
    lossy: bool


def decoded(content: bytes) -> Decoded | None:
    """Decode a file, or return None if it is broken, stops early or is no image.

    The formats of cameras are decoded by OpenCV, which keeps 16 bits in colour; all others by Pillow.
    """
    if not _is_whole(content):
        return None
    pixels = _by_opencv(content) if content.startswith(_BY_OPENCV) or _is_webp(content) else None
    if pixels is None:
        pixels = _by_pillow(content)
    return None if pixels is None else Decoded(pixels, _is_lossy(content))


def _is_lossy(content: bytes) -> bool:
    """Whether the format changes values, or may do so and does not say."""
    lossy_webp = _is_webp(content) and b"VP8 " in content[12:4096]  # behind a colour profile at most
    return content.startswith((_JPEG, *_JPEG_2000)) or lossy_webp or content[4:12] == b"ftypavif"


def _is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


def _by_opencv(content: bytes) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _by_pillow(content: bytes) -> NDArray[np.generic] | None:
    """Decode the first picture of a file; broken ones raise nearly everything, according to their format."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content)) as image:
            values = np.asarray(image if image.mode in _PLAIN else image.convert(_simplest(image)))
    except Exception:
        return None
    return values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]


def _simplest(image: "Image.Image") -> str:
    """Return the mode that says the same: grey if there are but black and white, otherwise RGB, with alpha if any."""
    if image.mode == "1":
        return "L"
    return "RGBA" if image.has_transparency_data else "RGB"


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
