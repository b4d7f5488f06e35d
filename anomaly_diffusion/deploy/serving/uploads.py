"""A photograph from a request: raw or as a form, within limits on bytes, pixels and seconds."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Query
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

__all__ = ["Limits", "Upload", "uploaded"]

_UNNAMED = "image"
_LONGEST = 200  # characters of a name
_FORM = "multipart/form-data"
_CLOSE = {"Connection": "close"}  # where the rest of a request would still have to be read
_WHAT = "Send a photograph as the body, or as a file of a form (multipart/form-data)."


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        bytes: of its body, at least 1.
        pixels: of the photograph, at least 1.
        seconds: that its head and its body may take, each, and that it may wait for a worker, > 0.

    Raises:
        ValueError: one of them is not positive.
    """

    bytes: int = 32_000_000
    pixels: int = 64_000_000
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Upload:
    """A photograph as it was sent.

    Attributes:
        name: of the file, without folders; "image" where it was sent without one.
        content: of the file.
        map: what is asked for instead of JSON: "picture", "values", or nothing.
    """

    name: str
    content: bytes
    map: str = ""


async def uploaded(
    request: Request,
    name: Annotated[str, Query()] = "",
    map: Annotated[Literal["", "picture", "values"], Query()] = "",
) -> Upload:
    """The photograph of a request, whose limits are the app's.

    Args:
        request: with the photograph as its body, or as the first file of a form.
        name: of the file; a form brings its own.
        map: see `Upload`.

    Raises:
        HTTPException: 400 if it ends early or holds nothing, 408 if it takes too long, 413 if it is too large, 415 if
            it is no photograph.
    """
    limits: Limits = request.app.state.limits
    content = await _body(request, limits)
    if request.headers.get("content-type", "").startswith(_FORM):
        name, content = await _first_file(request, content)
    if not content:
        raise HTTPException(400, f"The request is empty. {_WHAT}")
    await asyncio.to_thread(_check_pixels, content, limits.pixels)
    return Upload(_plain(name), content, map)


async def _body(request: Request, limits: Limits) -> bytes:
    """All that is sent, but no more than that."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.bytes:
        raise _too_large(limits)
    content = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                content += part
                if len(content) > limits.bytes:
                    raise _too_large(limits)
    except TimeoutError:
        raise HTTPException(408, f"The request took longer than {limits.seconds:g} s.", _CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "The request ended early.") from None
    return bytes(content)


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"The request is larger than {limits.bytes / 1e6:g} MB (--max_megabytes).", _CLOSE)


async def _first_file(request: Request, body: bytes) -> tuple[str, bytes]:
    """Name and content of the first file of a form whose body was read before."""

    async def again() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    form = await Request(request.scope, again).form(max_files=4, max_fields=16)
    async for name, content in _files(form.values()):
        return name, content
    raise HTTPException(400, f"The form holds no file. {_WHAT}")


async def _files(values: Any) -> AsyncIterator[tuple[str, bytes]]:
    for value in values:
        if isinstance(value, UploadFile):
            yield value.filename or "", await value.read()


def _check_pixels(content: bytes, most: int) -> None:
    """By its head alone: a small file may hold an enormous picture."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which are measured here
            with Image.open(BytesIO(content)) as picture:
                width, height = picture.size
    except Image.DecompressionBombError:
        raise _too_many(most) from None
    except Exception:  # broken files raise nearly everything, according to their format
        raise HTTPException(415, f"This is no photograph, or it is broken. {_WHAT}") from None
    if width * height > most:
        raise _too_many(most)


def _too_many(most: int) -> HTTPException:
    return HTTPException(413, f"The photograph has more than {most / 1e6:g} megapixels (--max_megapixels).")


def _plain(name: str) -> str:
    """The name without folders and control characters, as a file may be called."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(letter for letter in last if letter.isprintable())[-_LONGEST:] or _UNNAMED
