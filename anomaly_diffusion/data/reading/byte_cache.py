"""Contents of files on this machine's disk, up to a number of bytes: what was not used for longest goes first."""

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

__all__ = ["FOLDER_VARIABLE", "SIZE_VARIABLE", "ByteCache", "byte_cache"]

FOLDER_VARIABLE, SIZE_VARIABLE = "ANOMALY_DIFFUSION_CACHE", "ANOMALY_DIFFUSION_CACHE_GB"
_GB = 10.0  # unless the variable says otherwise
_LEFT = 0.9  # of the limit is kept when room is made, so that it is not made for each file anew
_UNSEEN = 0.02  # of the limit that a process adds before it looks what others have added
_log = logging.getLogger(__name__)


class ByteCache:
    """Keeps contents under names; threads and processes may share the folder, as files appear whole and vanish whole.

    Args:
        folder: where; made if missing.
        limit: bytes that all of it may take. N processes that write at the same time may exceed it by N - 1 times
            its fiftieth part until they look again.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._total: int | None = None  # bytes in the folder, as far as this process knows
        self._added = 0  # by this process since it looked
        self._lock = Lock()
        self._warned = False

    def read(self, name: str, size: int, fetch: Callable[[], bytes]) -> bytes:
        """Return a content from the disk, or fetch it and keep it.

        Args:
            name: of the content, good as that of a file; another content has another name.
            size: its length in bytes; what is on the disk with another is fetched anew.
            fetch: gives the content.
        """
        if size > self.limit:
            return fetch()
        path = self.folder / name[:2] / name
        with suppress(OSError):
            content = path.read_bytes()
            if len(content) == size:
                os.utime(path)
                return content
        content = fetch()
        try:
            self._keep(path, content)
        except OSError as error:
            self._warn(error)
        return content

    def _keep(self, path: Path, content: bytes) -> None:
        self._make_room(len(content))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise

    def _make_room(self, size: int) -> None:
        with self._lock:
            known = self._total is not None and self._added <= self.limit * _UNSEEN
            if self._total is None or not known or self._total + size > self.limit:
                self._total, self._added = self._evict(size), 0
            self._total += size
            self._added += size

    def _evict(self, size: int) -> int:
        """Remove what was not used for longest, if `size` bytes more are too many; return the bytes that stay."""
        found = []
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process has removed it
                told = path.stat()
                found.append((told.st_mtime_ns, told.st_size, path))
        total = sum(length for _, length, _ in found)
        if total + size <= self.limit:
            return total
        for _, length, path in sorted(found):
            if total <= min(self.limit * _LEFT, self.limit - size):
                break
            path.unlink(missing_ok=True)
            total -= length
        return total

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            _log.warning(
                "Files cannot be kept in %s (%s), so each use fetches them anew. %s names another folder.",
                *(self.folder, error.strerror, FOLDER_VARIABLE),
            )
        self._warned = True


def byte_cache() -> ByteCache:
    """The cache that the environment asks for: ANOMALY_DIFFUSION_CACHE_GB (10) in ANOMALY_DIFFUSION_CACHE.

    Raises:
        ValueError: the size is no number, or negative.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    word = os.environ.get(SIZE_VARIABLE) or str(_GB)
    try:
        gigabytes = float(word)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise ValueError(f"`{SIZE_VARIABLE}` must be a number of gigabytes, at least 0, got {word}.")
    folder = os.environ.get(FOLDER_VARIABLE) or home / "anomaly_diffusion" / "photographs"
    return _cache_at(Path(folder), int(gigabytes * 1e9))


_cache_at = cache(ByteCache)
