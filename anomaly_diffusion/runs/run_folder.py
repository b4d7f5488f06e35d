"""Run folders `runs/<experiment>/<run>/`: claiming a fresh one, finding an old one."""

import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_DIGITS = 3
BEST = Path("checkpoints") / "best.ckpt"
LAST = Path("checkpoints") / "last.ckpt"
PREVIOUS = Path("checkpoints") / "previous.ckpt"
CONFIG = "config.yaml"
SPLIT = "split.json"
EVALUATIONS = "evaluations"
JUDGED_BY = "judged_by.json"
_AT_START = {CONFIG, SPLIT, JUDGED_BY, "wandb"}  # what lies in a run folder before anything is computed


def claim(parent: Path, name: str | None = None) -> Path:
    """Make a new folder below `parent` and return it; processes that start together get different ones.

    Args:
        parent: the folder of the experiment; made if missing.
        name: the folder's name; None takes the next free number.

    Raises:
        ValueError: if the name holds a path separator.
        FileExistsError: if the name is taken.
    """
    parent.mkdir(parents=True, exist_ok=True)
    if name is None:
        return _claim_number(parent)
    _check_plain(name)
    try:
        (parent / name).mkdir(parents=True)  # a run that was refused may just have taken the parent with it
    except FileExistsError:
        folder = parent / name
        hint = f"Choose another --run, or go on with it: --resume {folder}"
        raise FileExistsError(f"The run folder {folder} exists already. {hint}") from None
    return parent / name


def _check_plain(name: str) -> None:
    if Path(name).name != name or name == "..":
        raise ValueError(
            f"`run` must be a plain name, got {name!r}. Choose the folder with --runs_dir and --experiment."
        )


def _claim_number(parent: Path, stem: str = "") -> Path:
    """Count up until `mkdir`, which is atomic, succeeds."""
    names = (path.name.removeprefix(stem) for path in parent.iterdir() if path.name.startswith(stem))
    number = max((int(name) for name in names if name.isdigit()), default=0)
    while True:
        number += 1
        folder = parent / f"{stem}{number:0{_DIGITS}d}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder


def discard(folder: Path, made: Sequence[Path] = ()) -> None:
    """Remove a run folder in which nothing was computed; leave any other.

    Args:
        folder: the run folder.
        made: folders above it that were made for it, the deepest first; they go too, if nothing else is in them.
    """
    there = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    if there <= _AT_START:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()


def find(name: str, runs: Path) -> Path:
    """Return the run folder called `name`, or, for "last", the one whose checkpoint is newest.

    Raises:
        FileNotFoundError: if there is no such run.
    """
    if name == "last":
        checkpoints = sorted(runs.glob(f"*/*/{LAST}"), key=lambda path: path.stat().st_mtime)
        if not checkpoints:
            raise FileNotFoundError(
                f"No run with a checkpoint below {runs}. Expected {runs}/<experiment>/<run>/{LAST}."
            )
        return checkpoints[-1].parents[1]
    for folder in (Path(name), runs / name):
        if (folder / CONFIG).is_file():
            return folder
    raise FileNotFoundError(f"`{name}` is no run folder: it holds no {CONFIG}. Runs found: {_some_runs(runs)}.")


def _some_runs(runs: Path) -> str:
    folders = sorted(runs.glob(f"*/*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    return ", ".join(str(path.parent) for path in folders[-5:]) or f"none below {runs}"


def checkpoint(folder: Path, *preferred: Path) -> Path:
    """Return the first checkpoint of `preferred` that the run has.

    Raises:
        FileNotFoundError: if it has none of them.
    """
    for path in preferred:
        if (folder / path).is_file():
            return folder / path
    raise FileNotFoundError(f"{folder} holds no checkpoint yet: {' or '.join(map(str, preferred))} expected.")


def harm(path: Path) -> str:
    """What is wrong with a checkpoint file, in a few words; nothing if it is whole, bit by bit."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        return f"it is torn, or no checkpoint ({error})"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return f"it is damaged (checksum of {broken})" if broken else ""


def to_resume(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; None before the first one.

    A torn `last.ckpt` is put aside as `last.torn`, and the one before it is taken.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    there = [folder / path for path in (LAST, PREVIOUS) if (folder / path).is_file()]
    for path in there:
        told = harm(path)
        if not told:
            return path
        torn = path.with_suffix(".torn")
        with suppress(FileNotFoundError):  # another process of the same run was faster
            path.replace(torn)
        print(f"warning: {path} cannot be used: {told}. It is kept as {torn.name}.", file=sys.stderr)
    if there:
        raise ValueError(f"No checkpoint of {folder} is whole, so it cannot be gone on with. Start the run again.")
    return None


def evaluation_of(folder: Path) -> tuple[Path, str] | None:
    """The run folder that an evaluation belongs to, and what was changed in it; None for a run's own folder."""
    folder = folder.resolve()
    if folder.parent.name != EVALUATIONS:
        return None
    return folder.parents[1], re.sub(rf"-?\d{{{_DIGITS}}}$", "", folder.name)


def is_unfinished(folder: Path, parts: Path) -> bool:
    """Whether an evaluation was begun and not finished.

    Args:
        folder: of the evaluation.
        parts: what it has as long as it lasts.
    """
    return folder.is_dir() and (parts.is_dir() or {path.name for path in folder.iterdir()} <= _AT_START)


def claim_evaluation(source: Path, changes: str = "", name: str | None = None, go_on: bool = False) -> Path:
    """Make a fresh `evaluations/<changes>-<number>` inside a run folder, with the run's split, and return it.

    Args:
        source: the run folder.
        changes: what was changed on top of the run's settings; nothing leaves the number alone.
        name: the folder's name instead; None: the next free number.
        go_on: whether a folder of that name may be there, to be gone on with.

    Raises:
        ValueError: if the name holds a path separator.
        FileExistsError: if the name is taken.
    """
    parent = source / EVALUATIONS
    parent.mkdir(exist_ok=True)
    if name is None:
        folder = _claim_number(parent, f"{changes}-" if changes else "")
    else:
        _check_plain(name)
        folder = parent / name
        if folder.exists() and not go_on:
            raise FileExistsError(f"The evaluation {folder} exists already. Choose another --run.")
        folder.mkdir(exist_ok=True)
    if (source / SPLIT).is_file():
        shutil.copy(source / SPLIT, folder / SPLIT)
    return folder
