"""Pictures small enough to travel inside a page."""

from base64 import b64encode
from dataclasses import dataclass

import cv2
import numpy as np
from numpy import ndarray

__all__ = ["Thumbnail", "drawing", "photograph"]

_QUALITY, _LOSSLESS = 80, 101


@dataclass(frozen=True)
class Thumbnail:
    """An encoded picture.

    Args:
        data: a WebP file.
        width: in pixels.
        height: in pixels.
    """

    data: bytes
    width: int
    height: int

    @property
    def source(self) -> str:
        """A `data:` address, which needs no network."""
        return f"data:image/webp;base64,{b64encode(self.data).decode()}"

    @property
    def bytes_in_page(self) -> int:
        """What it adds to a page."""
        return 4 * -(-len(self.data) // 3) + 30


def photograph(png: bytes, widest: int = 480) -> Thumbnail | None:
    """A picture with some loss, at most `widest` pixels wide; None if it cannot be read."""
    return _thumbnail(png, widest, _QUALITY)


def drawing(png: bytes, widest: int = 2000) -> Thumbnail | None:
    """A picture of lines without loss, at most `widest` pixels wide; None if it cannot be read."""
    return _thumbnail(png, widest, _LOSSLESS)


def _thumbnail(png: bytes, widest: int, quality: int) -> Thumbnail | None:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    return None if picture is None else _encoded(_narrowed(picture, widest), quality)


def _narrowed(picture: ndarray, widest: int) -> ndarray:
    height, width = picture.shape[:2]
    if width <= widest:
        return picture
    size = (widest, max(1, round(height * widest / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _encoded(picture: ndarray, quality: int) -> Thumbnail:
    content = cv2.imencode(".webp", np.ascontiguousarray(picture), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
    return Thumbnail(bytes(content), picture.shape[1], picture.shape[0])
