"""Folders that lie elsewhere: paths below a URL of fsspec (s3://, gs://, ...), listed once, read through a cache."""

import errno
import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PosixPath
from typing import Any, NamedTuple

from anomaly_diffusion.data.reading.byte_cache import byte_cache

__all__ = ["RemotePath", "located"]

_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):/(?P<second>/?)")  # pathlib makes one slash of two
_HERE = "file", "local"
_VERSIONS = (  # what file systems say of a file that is another after it was written anew
    *(
        "ETag",
        "etag",
        "generation",
        "md5Hash",
        "LastModified",
        "Last-Modified",
        "last_modified",
        "mtime",
        "modified",
        "created",
    ),
)


class _Entry(NamedTuple):
    """A name in a folder.

    Attributes:
        size: bytes of a file; None of a folder.
        version: what tells the file from what others had its name; "" where nothing does.
    """

    size: int | None
    version: str


_listed: dict[str, dict[str, _Entry]] = {}  # by the URL of a folder: a fork knows what its parent has listed


class RemotePath(PosixPath):
    """A path below a URL, as far as data sets need one: what is in a folder, sizes, contents.

    Names and sizes are those of a listing, which is made once for each folder, and never those of a cache. Contents
    come from `byte_cache`. What depends on names and contents is hence the same as for files on this machine.
    """

    def __str__(self) -> str:
        """The URL; what was made relative to another path is as any path."""
        return super().__str__().replace(":/", "://", 1) if self.is_absolute() else super().__str__()

    def is_absolute(self) -> bool:
        """Whether it begins with a protocol."""
        return bool(self.parts) and self.parts[0].endswith(":") and _URL.match(f"{self.parts[0]}/") is not None

    def absolute(self) -> "RemotePath":
        """The path itself."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        """The path itself, as there are no links."""
        return self

    def iterdir(self) -> Iterator["RemotePath"]:  # type: ignore[override]
        """What is in the folder."""
        return (self / name for name in _listing(self._url))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file or a folder."""
        return self.is_file() or self.is_dir()

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        entry = self._entry()
        return entry is not None and entry.size is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder that holds anything; the folder above is not listed for that."""
        above, _, name = self._url.rpartition("/")
        if above in _listed:
            entry = _listed[above].get(name)
            return entry is not None and entry.size is None
        return len(self.parts) > 1 and bool(_listing(self._url))

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Kind and size; nothing else is known.

        Raises:
            FileNotFoundError: there is no such file or folder.
        """
        entry = self._entry()
        if entry is None and not self.is_dir():
            raise _missing(self)
        kind = stat.S_IFDIR if entry is None or entry.size is None else stat.S_IFREG
        return os.stat_result((kind, 0, 0, 1, 0, 0, (entry and entry.size) or 0, 0, 0, 0))

    def read_bytes(self) -> bytes:
        """What is in the file.

        Raises:
            FileNotFoundError: there is none, or none any more.
            OSError: it cannot be fetched, or is another than when it was listed.
        """
        entry = self._entry()
        if entry is None or entry.size is None:
            raise _missing(self)
        fetch = partial(self._fetched, entry.size)
        if not entry.version:
            return fetch()
        words = f"{self._url}\0{entry.size}\0{entry.version}"
        name = hashlib.blake2b(words.encode(errors="surrogatepass"), digest_size=20).hexdigest()
        return byte_cache().read(name, entry.size, fetch)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """The same as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    @property
    def _url(self) -> str:
        protocol, *below = self.parts
        return f"{protocol}//{posixpath.normpath('/'.join(below)) if below else ''}"

    def _entry(self) -> _Entry | None:
        above, _, name = self._url.rpartition("/")
        if len(self.parts) < 3 or (above not in _listed and _listing(self._url)):
            return None  # a folder, for which the one above it needs not be open to us
        return _listing(above).get(name)

    def _fetched(self, size: int) -> bytes:
        system, place = _file_system(self._url)
        try:
            content = bytes(system.cat_file(place))
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "it is gone since it was listed", str(self)) from None
        except Exception as error:  # every file system has errors of its own
            raise OSError(errno.EIO, _told(error), str(self)) from None
        if len(content) != size:
            what = f"{len(content)} bytes came, but it had {size} when it was listed; start again"
            raise OSError(errno.EIO, what, str(self))
        return content


def located(place: str | Path, anew: bool = False) -> Path:
    """Return where a user's word points: a path of this machine, or a `RemotePath` where it is a URL.

    Args:
        place: a path, or a URL that fsspec understands; also one of which pathlib has made a path.
        anew: whether what lies there is listed anew, if it was listed before.

    Raises:
        ValueError: it is a URL, but of a protocol that nobody knows, or of several one within the other.
    """
    found = _URL.match(str(place))
    if found is None:
        return Path(place)
    from fsspec import available_protocols

    protocol, known = found["protocol"], available_protocols()
    if protocol in _HERE:
        return Path("/" + str(place)[found.end() :].lstrip("/"))
    if protocol not in known and not found["second"]:
        return Path(place)  # somebody's folder with a colon at its end
    if protocol not in known or "::" in str(place):
        raise ValueError(f"`root` must be a folder or a URL such as s3://bucket/folder, got {place}.")
    path = RemotePath(place)
    if anew:
        _forget(path._url)
    return path


def _forget(url: str) -> None:
    """List a folder, those below it and the one above it anew when they are asked for."""
    for one in [one for one in _listed if one == url.rpartition("/")[0] or f"{one}/".startswith(f"{url}/")]:
        del _listed[one]


def _listing(url: str) -> dict[str, _Entry]:
    """What is in a folder, by name; nothing where there is none."""
    if url not in _listed:
        _listed[url] = _list(url)
    return _listed[url]


def _list(url: str) -> dict[str, _Entry]:
    system, place = _file_system(url)
    try:
        system.invalidate_cache(place)
        found = system.ls(place, detail=True)
        return {
            one["name"].rstrip("/").rpartition("/")[2]: _entry_of(system, one)
            for one in found
            if one["name"].strip("/") != place.strip("/")  # object stores list what stands for the folder as well
        }
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except Exception as error:  # every file system has errors of its own
        raise ConnectionError(
            f"{url} cannot be listed: {_told(error)}. Check the address, the network and your credentials."
        ) from None


def _entry_of(system: Any, told: dict[str, Any]) -> _Entry:
    if told["type"] == "directory":
        return _Entry(None, "")
    size = told.get("size")
    told = system.info(told["name"]) if size is None else told
    if told.get("size") is None:
        raise OSError(f"nobody says how long {told['name']} is")
    return _Entry(int(told["size"]), " ".join(str(told[name]) for name in _VERSIONS if told.get(name)))


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and what it calls the place.

    Raises:
        ImportError: naming the package to install.
        ConnectionError: it cannot be reached.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    try:
        system, place = url_to_fs(url)
    except ImportError as error:
        package = known_implementations.get(url.partition(":")[0], {}).get("class", "fsspec").partition(".")[0]
        hint = f"Run: pip install {package}" if package != "fsspec" else f"{_told(error)}."
        raise ImportError(f"{url} needs a package that is not installed. {hint}") from None
    except Exception as error:  # some ask for credentials as soon as they are made
        raise ConnectionError(
            f"{url} cannot be reached: {_told(error)}. Check the network and your credentials."
        ) from None
    return system, place


def _told(error: Exception) -> str:
    """An error of a library in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".removesuffix(".")


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
