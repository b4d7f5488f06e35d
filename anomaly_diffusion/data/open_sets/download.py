"""Downloads of large files over HTTP: interrupted ones resume (Range), and a SHA-256 checksum is verified."""

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

__all__ = ["DownloadError", "download"]

_BLOCK = 1 << 20
_WHOLE, _PART, _NOTHING_LEFT = 200, 206, 416
Progress = Callable[[int, int | None], None]  # bytes at hand, and bytes in all where the server says so


class DownloadError(OSError):
    """A file could not be fetched; what has arrived is kept, unless it is wrong."""


class _Interrupted(Exception):
    """The server has stopped sending; asked again, it may go on."""


def download(
    url: str,
    target: Path,
    sha256: str,
    progress: Progress = lambda done, total: None,
    patience: float = 30.0,
    attempts: int = 5,
) -> None:
    """Fetch a file, going on where an earlier attempt ended.

    Args:
        url: http or https.
        target: where it goes; until it is whole it is called `<target>.part`.
        sha256: what it must hash to, in hexadecimal digits.
        progress: told after each block.
        patience: seconds of silence after which a connection counts as lost, > 0.
        attempts: how often in a row a connection may be lost without a byte gained.

    Raises:
        DownloadError: the server refuses, stops sending, or sends something else.
    """
    if target.is_file():
        return
    if not url.startswith(("https://", "http://")):
        raise DownloadError(f"{url} is no http or https address.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    lost = 0
    while True:
        before = _size(part)
        try:
            _go_on(url, part, progress, patience)
            break
        except _Interrupted as error:
            lost = 0 if _size(part) > before else lost + 1
            if lost >= attempts:
                raise DownloadError(
                    f"{url}: {error}. {_size(part):,} bytes are kept in {part}: run the command again to go on."
                ) from None
            time.sleep(min(patience, 0.1 * 2**lost))
    found = _digest(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url} sent something else: SHA-256 {found}, not {sha256}. It has been deleted. Try again; if it stays "
            "so, its owners have moved or changed it."
        )
    part.replace(target)


def _go_on(url: str, part: Path, progress: Progress, patience: float) -> None:
    done = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            whole = answer.status == _WHOLE  # a server may know no parts
            left = _length(answer)
            total = None if left is None else left + (0 if whole else done)
            _receive(answer, part, 0 if whole else done, total, progress)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT and done:
            return  # all of it has arrived; its hash tells whether it is right
        raise DownloadError(f"{url}: the server answers {error.code} {error.reason}.") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise _Interrupted(str(getattr(error, "reason", error)) or type(error).__name__) from None


def _receive(answer: HTTPResponse, part: Path, done: int, total: int | None, progress: Progress) -> None:
    with part.open("r+b" if done else "wb") as file:
        file.seek(done)
        while block := answer.read1(_BLOCK):
            file.write(block)
            done += len(block)
            progress(done, total)
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended after {done:,} of {total:,} bytes")


def _length(answer: HTTPResponse) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
