"""A prediction or test that was killed goes on in its folder, by the same settings and the same weights."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli.parsing import renamed
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.engine.changes import changes, saved
from anomaly_diffusion.engine.lightning_internals import is_first_process
from anomaly_diffusion.runs import parts, run_folder

__all__ = ["take_up", "take_up_test"]

_DECIDE = (  # settings on which verdicts depend
    *("model.", "seed_everything", "trainer.precision", "ema.", "verdicts.", "data.dataset", "data.image_size"),
    *("data.channels", "data.tiles", "data.loading.policy", "data.feedback"),
)
_CALIBRATE = ("data.validation", "trainer.limit_val_batches")  # where a test validates first
_HINT = "Choose another --run."


def take_up(folder: Path, data: AnomalyDataModule, settings: Mapping[str, Any], checkpoint: str | None) -> bool:
    """Let a data module leave out what was told before the kill; if that is everything, write the table.

    Every process does so before any of them judges.

    Args:
        folder: of the prediction, which may be new.
        data: brings the photographs.
        settings: those that hold now.
        checkpoint: whose weights judge.

    Returns:
        Whether photographs are left.

    Raises:
        ValueError: those before were judged by other settings, or by other weights.
    """
    before = parts.told(folder)
    if before:
        _check_settings(folder / run_folder.CONFIG, settings)
    _check_weights(folder / run_folder.JUDGED_BY, checkpoint, bool(before))
    names = data.predicted()
    data.judged = frozenset(before)
    left = len(set(names) - data.judged)
    if before and is_first_process():
        print(f"{len(before)} photographs are judged already, {left} are left.", flush=True)
    if before and not left and is_first_process():
        parts.joined(folder, before.values(), names)
        print(folder / parts.TABLE, flush=True)
    return not before or left > 0


def take_up_test(folder: Path, settings: Mapping[str, Any], checkpoint: str | None) -> None:
    """Make sure that a test may go by the verdicts that were kept before a kill; every process does so.

    Args:
        folder: of the test, which may be new.
        settings: those that hold now.
        checkpoint: whose weights judge.

    Raises:
        ValueError: as of `take_up`.
    """
    before = len(list(parts.verdicts(folder).glob("*.pt")))
    if before:
        _check_settings(folder / run_folder.CONFIG, settings, (*_DECIDE, *_CALIBRATE))
    _check_weights(folder / run_folder.JUDGED_BY, checkpoint, bool(before))
    parts.verdicts(folder).mkdir(parents=True, exist_ok=True)
    if before and is_first_process():
        print(f"{before} photographs are judged already.", flush=True)


def _check_settings(path: Path, settings: Mapping[str, Any], decide: tuple[str, ...] = _DECIDE) -> None:
    found = [one for one in changes(saved(renamed.read(path)), settings) if one.key.startswith(decide)]
    if found:
        raise ValueError(f"{path.parent} was begun by other settings, so it cannot go on with {found[0]}. {_HINT}")


def _check_weights(path: Path, checkpoint: str | None, go_on: bool) -> None:
    """Make sure that the weights are those of before, if there was any before; else note them."""
    if checkpoint is None:
        return
    with open(checkpoint, "rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    if go_on and path.is_file() and files.read_mapping(path).get("blake2b") != digest:
        raise ValueError(f"{path.parent} was begun by other weights than those of {checkpoint}. {_HINT}")
    if is_first_process() and not (go_on and path.is_file()):
        files.write_json(path, {"checkpoint": checkpoint, "blake2b": digest})
