"""Photographs that people name: files, folders, patterns, a list, or a folder into which they arrive."""

import glob
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from anomaly_diffusion.data.layouts.conventions import image_files
from anomaly_diffusion.data.reading.photographs import BadImages, read_pixels

__all__ = ["Arrivals", "Bad", "photographs"]


@dataclass(frozen=True)
class Bad:
    """What cannot be judged.

    Attributes:
        name: as it was given.
        problem: what is wrong, and what mends it.
    """

    name: str
    problem: str


def photographs(words: Iterable[str], listed: TextIO) -> Iterator[Path | Bad]:
    """The files that words name, each once, as they are asked for.

    Args:
        words: a file; a folder, whose images count, those of its sub-folders too, but for folders of masks; a pattern
            with `*`, `?` or `[...]`, in which `**` is any number of folders; `-`: the lines of `listed`.
        listed: names such words, one in a line; lines may still arrive.
    """
    seen: set[Path] = set()
    for found in _all(words, listed):
        if isinstance(found, Bad):
            yield found
        elif found not in seen:
            seen.add(found)
            yield found


def _all(words: Iterable[str], listed: TextIO) -> Iterator[Path | Bad]:
    for word in words:
        if word == "-":
            yield from _all(
                (line for line in (line.rstrip("\r\n") for line in listed) if line not in ("", "-")), listed
            )
        else:
            yield from _named(word)


def _named(word: str) -> Iterable[Path | Bad]:
    path = Path(word)
    if path.is_dir():
        return image_files(path) or [Bad(word, "is a folder without images")]
    if path.exists() or not glob.has_magic(word):
        return [path] if path.is_file() else [Bad(word, "does not exist")]
    matches = [Path(name) for name in sorted(glob.glob(word, recursive=True))]
    found = [file for match in matches for file in ([match] if match.is_file() else image_files(match))]
    return found or [Bad(word, "matches no file")]


@dataclass
class Arrivals:
    """Photographs that arrive in a folder: each once, when it is whole.

    A file is whole when its size and time have not changed for a moment and it can be decoded. One that stays broken
    for `patience` is told once; if it changes later, it is looked at again.

    Args:
        folder: where they arrive; sub-folders count as in `photographs`.
        done: paths that have been judged before.
        interval: seconds between two looks, > 0.
        patience: seconds for which a broken file may be one that is still being written.
    """

    folder: Path
    done: set[str]
    interval: float = 0.5
    patience: float = 5.0
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)  # what it was like, and since when
    _broken: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Path | Bad]:
        while True:
            yield from self.look(time.monotonic())
            time.sleep(self.interval)

    def look(self, now: float) -> Iterator[Path | Bad]:
        """What is whole, or broken for good, by now (in seconds)."""
        for path in image_files(self.folder):
            if str(path) in self.done:
                continue
            like = _like(path)
            if like is None or self._broken.get(path) == like:
                continue
            before, since = self._seen.setdefault(path, (like, now))
            if before != like:
                self._seen[path] = like, now
            elif now > since:
                yield from self._settled(path, like, now - since)

    def _settled(self, path: Path, like: tuple[int, int], waited: float) -> Iterator[Path | Bad]:
        try:
            read_pixels(path)
        except BadImages as error:
            if waited >= self.patience:
                self._broken[path] = like
                yield Bad(str(path), next(iter(error.problems.values())))
            return
        self.done.add(str(path))
        yield path


def _like(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if it has gone."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns
