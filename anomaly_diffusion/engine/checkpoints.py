"""Checkpoints: when they are written, whole or not at all, and how they are read without running what they may hide."""

import io
import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.__version__ import version as lightning_version
from pytorch_lightning.callbacks import ModelCheckpoint

from anomaly_diffusion.engine.lightning_internals import MonitoredCheckpoint, TorchCheckpointIO
from anomaly_diffusion.runs import run_folder

__all__ = ["BestAndLast", "WholeCheckpoints", "read", "read_training"]

_TRAINING: dict[str, type] = {
    "epoch": int, "global_step": int, "loops": dict, "callbacks": dict, "optimizer_states": list, "lr_schedulers": list,
}  # fmt: skip
_UNFINISHED = ".unfinished"


class BestAndLast(MonitoredCheckpoint):
    """Lightning's ModelCheckpoint, whose `last.ckpt` is the last.

    The original writes it only where the monitored figure has improved, and once more at the end of a process that has
    written none: a run that was killed would lose what it learnt since its best, and a resumed one would leave other
    files than an uninterrupted one.
    """

    @property
    def state_key(self) -> str:
        """The key of the original, so that either reads what the other has written."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the best, if it is, and the last."""
        super().on_validation_end(trainer, pl_module)
        if not self.belongs_to_epochs(trainer):
            self.write_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do the same where checkpoints belong to epochs."""
        super().on_train_epoch_end(trainer, pl_module)
        if self.belongs_to_epochs(trainer):
            self.write_last(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave a `last.ckpt` behind, whatever the length of the run."""
        if not self.last_model_path:
            super().on_train_end(trainer, pl_module)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then moves it there, so that no kill leaves half of one.

    The `last.ckpt` of before is kept as `previous.ckpt`: where a disk or a copy spoils the one, the other is there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: the disk is full or cannot be written; what stood there before is whole.
        """
        place, content = Path(path), io.BytesIO()
        torch.save(checkpoint, content)
        place.parent.mkdir(parents=True, exist_ok=True)
        for old in place.parent.glob(f".*{_UNFINISHED}"):  # of a process that was killed
            old.unlink(missing_ok=True)
        unfinished = place.with_name(f".{place.name}.{os.getpid()}{_UNFINISHED}")
        try:
            _write_through(unfinished, content.getbuffer())
            if place.name == run_folder.LAST.name and place.is_file():
                _keep_as(place, place.with_name(run_folder.PREVIOUS.name))
            os.replace(unfinished, place)
            _write_through(place.parent)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, f"{error.strerror or error}; the checkpoint before it is whole", path) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; whatever `weights_only` says, nothing but tensors and plain values is read."""
        return read(Path(path), map_location)


def read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return what a checkpoint holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is torn, no checkpoint, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise FileNotFoundError(f"`--ckpt_path` must be a checkpoint, but there is no file {path}.")
    if harm := run_folder.harm(path):
        raise ValueError(f"The checkpoint {path} cannot be used: {harm}. Copy it again, or name another one.")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        unsafe = str(error).partition("GLOBAL ")[2].split(" ")[0] or "an object that is none of these"
        raise ValueError(
            f"The checkpoint {path} is refused: it may hold tensors and plain values only, but asks for {unsafe}, "
            "which could run a program hidden in it. Nothing was run. Use a file that this program has written."
        ) from None
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"The checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise ValueError(f"{path} is no checkpoint of this program: it holds no `state_dict`.")
    if not all(isinstance(value, torch.Tensor) for value in content["state_dict"].values()):
        raise ValueError(f"{path} is no checkpoint of this program: its `state_dict` holds more than tensors.")
    for key, kind in _TRAINING.items():
        if not isinstance(content.get(key, kind()), kind):
            raise ValueError(f"{path} is no checkpoint of this program: its `{key}` is no {kind.__name__}.")
    content.setdefault("pytorch-lightning_version", lightning_version)  # of another program, with weights only
    return content


def read_training(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, from which training is to go on.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is none, or lacks what training needs.
    """
    content = read(path)
    if missing := [key for key in _TRAINING if key not in content]:
        raise ValueError(
            f"Training cannot go on from {path}: it holds weights, but no {', '.join(missing)}. It can be tested; to "
            "train, name a checkpoint that this program has written."
        )
    return content


def _write_through(path: Path, content: bytes | memoryview | None = None) -> None:
    """Write a file, or nothing to a folder, and wait until the disk has it."""
    handle = os.open(path, os.O_RDONLY if content is None else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        while content:
            content = memoryview(content)[os.write(handle, content) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep_as(path: Path, copy: Path) -> None:
    """Give a file a second name, by a link where the disk has links."""
    draft = copy.with_name(f".{copy.name}.{os.getpid()}{_UNFINISHED}")
    try:
        os.link(path, draft)
    except OSError:
        shutil.copyfile(path, draft)
    os.replace(draft, copy)
    draft.unlink(missing_ok=True)  # a move onto another name of the same file does nothing
