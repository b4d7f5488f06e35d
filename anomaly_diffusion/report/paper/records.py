"""Runs as one small archive of their texts, so that a report can be made again where the runs themselves are not."""

import io
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from anomaly_diffusion.report.paper.sections.gallery import chosen, may_be_shown
from anomaly_diffusion.report.paper.study import FOREIGN, Study, Trial
from anomaly_diffusion.runs.record import TEXTS

__all__ = ["records", "unpacked"]

_FOLDERS = re.compile(r"(?<![\w:/.~-])/(?:[^\s/'\",]+/)*(?=[^\s/'\",]+/[^\s/'\",]+)")  # all but a path's last two parts


def records(study: Study) -> bytes:
    """Every text that the report reads, and the pictures of the gallery, if its photographs may be passed on.

    Paths of one machine lose all but their last two parts. The same runs give the same bits.
    """
    held: dict[str, bytes] = {}
    for trial in study.trials:
        held |= _texts(trial, study.folder)
    if pictured := next((trial for trial in study.trials if trial.plain and may_be_shown(trial)), None):
        held |= _tiles(pictured, study.folder)
    if study.foreign:
        held[str(FOREIGN)] = (study.folder / FOREIGN).read_bytes()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz", preset=9) as archive:
        for name in sorted(held):
            entry = tarfile.TarInfo(name)
            entry.size = len(held[name])
            archive.addfile(entry, io.BytesIO(held[name]))
    return content.getvalue()


@contextmanager
def unpacked(runs: Path) -> Iterator[Path]:
    """The folder of runs itself, or what an archive of `records` holds, for as long as it is needed.

    Raises:
        ValueError: the archive is damaged, or reaches outside of its folder.
    """
    if not runs.is_file():
        yield runs
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(runs) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(
                f"{runs} is no archive of runs: {error}. Name a folder of runs, or a file that --records has written."
            ) from None
        yield Path(folder)


def _texts(trial: Trial, root: Path) -> dict[str, bytes]:
    folder = trial.run.folder
    there = {name: folder / name for name in TEXTS if (folder / name).is_file()}
    return {_name(path, root): _portable(path) for path in there.values()}


def _tiles(trial: Trial, root: Path) -> dict[str, bytes]:
    paths = [trial.run.tile(image.path, name) for image, names in chosen(trial) for name in names]
    return {_name(path, root): path.read_bytes() for path in paths}


def _name(path: Path, root: Path) -> str:
    return str(PurePosixPath(path.relative_to(root)))


def _portable(path: Path) -> bytes:
    return _FOLDERS.sub("", path.read_text(encoding="utf-8")).encode()
