"""Decoding of image files by OpenCV or Pillow, truncated files refused, EXIF orientation applied."""

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_diffusion.data.reading.orientation import Header, is_tiff, upright

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Decoded", "decoded"]

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_BY_OPENCV = (_JPEG, _PNG, b"BM", *(f"P{number}".encode() for number in range(1, 7)))
_PLAIN = "L", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I", "F"  # modes that are arrays as they are
_JPEG_2000 = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"


class Decoded(NamedTuple):
    """What is in an image file.

    Attributes:
        pixels: grey (H, W), or (H, W, 3 or 4) in the order blue, green, red, alpha; of any type.
        lossy: whether the format changes values.
        orientation: the tag that was applied, 1 to 8, as EXIF has it; 1: stored as it is seen.
        pages: how many pictures the file holds, of which this is the first.
    """

    pixels: NDArray[np.generic]
    lossy: bool
    orientation: int = 1
    pages: int = 1


def decoded(content: bytes) -> Decoded | None:
    """Decode a file, or return None if it is broken, stops early or is no image.

    The formats of cameras are decoded by OpenCV, which keeps 16 bits in colour; all others by Pillow.
    """
    if not _is_whole(content):
        return None
    by_opencv = content.startswith(_BY_OPENCV) or _is_webp(content) or is_tiff(content)
    return (_by_opencv(content) if by_opencv else None) or _by_pillow(content)


def _is_lossy(content: bytes) -> bool:
    """Whether the format changes values, or may do so and does not say."""
    lossy_webp = _is_webp(content) and b"VP8 " in content[12:4096]  # behind a colour profile at most
    return content.startswith((_JPEG, *_JPEG_2000)) or lossy_webp or content[4:12] == b"ftypavif"


def _is_webp(content: bytes) -> bool:
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP"


def _by_opencv(content: bytes) -> Decoded | None:
    """Decode and turn; OpenCV itself turns a TIFF, and no other format as long as it leaves the pixels unchanged."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None:
        return None
    orientation, pages = Header.of(content)
    return Decoded(pixels if is_tiff(content) else upright(pixels, orientation), _is_lossy(content), orientation, pages)


def _by_pillow(content: bytes) -> Decoded | None:
    """Decode the first picture of a file; broken ones raise nearly everything, according to their format."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content)) as image:
            orientation, pages = image.getexif().get(274, 1), getattr(image, "n_frames", 1)
            values = np.asarray(image if image.mode in _PLAIN else image.convert(_simplest(image)))
    except Exception:
        return None
    pixels = values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    return Decoded(upright(pixels, orientation), _is_lossy(content), orientation, pages)


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
