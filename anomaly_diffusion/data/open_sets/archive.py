"""Safe extraction of tar and zip archives: no path traversal, no link that leads out of the target folder."""

import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

__all__ = ["extract"]


def extract(archive: Path, folder: Path, root: str = "") -> None:
    """Unpack an archive into a folder that appears whole or not at all.

    Args:
        archive: a tar file in any compression, or a zip file.
        folder: what it becomes; must not exist.
        root: folder in the archive whose content is meant; "": all of it.

    Raises:
        ValueError: it is no such archive, is damaged, or something in it would lie elsewhere.
    """
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _unpack(archive, unfinished)
        inside = unfinished / root
        if not inside.is_dir():
            raise ValueError(f"{archive} has no folder {root}.")
        inside.replace(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"{archive} cannot be unpacked: {str(error).splitlines()[0].rstrip(':.')}. Delete it, and get it again."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for member in zipped.infolist():
                _refuse(member)
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")  # refuses absolute paths, .., links that lead out, devices


def _refuse(member: zipfile.ZipInfo) -> None:
    """What the filter of tar files does."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or stat.S_ISLNK(member.external_attr >> 16):
        raise zipfile.BadZipFile(f"{member.filename!r} would lie outside")
