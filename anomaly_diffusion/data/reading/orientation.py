"""The orientation tag of EXIF and TIFF, which every viewer and labelling tool applies."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Header", "is_tiff", "upright"]

_TAG = 274
_FIRST, _TURNED = 1, 5  # as stored; from 5 on height and width change places
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"


class Header(NamedTuple):
    """What an image file says about its picture, apart from the pixels.

    Attributes:
        orientation: 1 to 8, as EXIF has it; 1: stored as it is seen.
        pages: how many pictures a TIFF file holds.
    """

    orientation: int = _FIRST
    pages: int = 1

    @classmethod
    def of(cls, content: bytes) -> "Header":
        """Read that of a file; one that says nothing, or nonsense, is taken as it is stored."""
        if is_tiff(content):
            return _directories(content)
        return cls(_directories(_exif(content)).orientation)


def is_tiff(content: bytes) -> bool:
    """Whether a file is a TIFF, of at most 4 GB or larger."""
    return content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))


def upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn stored pixels (H, W, ...) as they are meant to be seen; EXIF 2.3, tag 274."""
    seen = pixels.swapaxes(0, 1) if orientation >= _TURNED else pixels
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(seen[rows, columns])


def _exif(content: bytes) -> bytes:
    """Return the EXIF block of a JPEG, PNG or WebP file, which is a small TIFF."""
    for kind, block in _blocks(content):
        if kind in (b"\xff\xe1", b"eXIf", b"EXIF"):
            exif = block.removeprefix(b"Exif\0\0")
            if is_tiff(exif):
                return exif
    return b""


def _blocks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the parts of a file before its pixels, or all of them, by their kind."""
    if content.startswith(_JPEG):
        return _segments(content)
    if content.startswith(_PNG):
        return _chunks_of_png(content)
    return _chunks_of_webp(content) if content.startswith(b"RIFF") else iter(())


def _segments(jpeg: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 2
    while jpeg[start : start + 1] == b"\xff" and jpeg[start : start + 2] != b"\xff\xda":
        length = int.from_bytes(jpeg[start + 2 : start + 4])
        yield jpeg[start : start + 2], jpeg[start + 4 : start + 2 + length]
        start += 2 + length


def _chunks_of_png(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = len(_PNG)
    while start + 12 <= len(png):
        length = int.from_bytes(png[start : start + 4])
        yield png[start + 4 : start + 8], png[start + 8 : start + 8 + length]
        start += 12 + length


def _chunks_of_webp(webp: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 12
    while start + 8 <= len(webp):
        length = int.from_bytes(webp[start + 4 : start + 8], "little")
        yield webp[start : start + 4], webp[start + 8 : start + 8 + length]
        start += 8 + length + length % 2


class _Layout(NamedTuple):
    """Where a TIFF keeps its numbers, and how long they are, in bytes."""

    first: int
    offset: int
    counter: int
    entry: int


_SMALL, _LARGE = _Layout(4, 4, 2, 12), _Layout(8, 8, 8, 20)


def _directories(tiff: bytes) -> Header:
    """Walk the chain of directories, one for each page; the tag stands in the first."""
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    layout = _LARGE if number(2, 2) == 43 else _SMALL
    orientation, seen, at = _FIRST, set[int](), number(layout.first, layout.offset)
    while 0 < at < len(tiff) and at not in seen:
        entries = range(
            at + layout.counter, at + layout.counter + layout.entry * number(at, layout.counter), layout.entry
        )
        if not seen:
            tags = (number(entry + layout.entry - layout.offset, 2) for entry in entries if number(entry, 2) == _TAG)
            orientation = next(tags, _FIRST)
        seen.add(at)
        at = number(entries.stop, layout.offset)
    return Header(orientation if 1 <= orientation <= 8 else _FIRST, max(1, len(seen)))
