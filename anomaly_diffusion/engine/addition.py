"""A category more for a finished run: its checkpoint knows one more, and nothing else in it is another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from anomaly_diffusion.callbacks.verdicts import Verdicts
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.split import Split
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.engine.progress import StepProgress
from anomaly_diffusion.engine.trainer import RunTrainer

__all__ = ["calibrated", "grown", "joined", "point_to", "with_classes"]

_OF_CLASSES = "classes"  # the setting of a backbone
_EMBEDDING = "category.weight"  # what it has a row of for each class
_TRAINED = ("ema", "trained")  # where checkpoints keep weights that are not averaged


def with_classes(model: Any, count: int) -> Any:
    """The settings of a model whose backbone, if it is told of classes at all, knows so many."""
    if isinstance(model, Mapping):
        return {
            key: max(value, count)
            if key == _OF_CLASSES and isinstance(value, int) and value
            else with_classes(value, count)
            for key, value in model.items()
        }
    return [with_classes(one, count) for one in model] if isinstance(model, list) else model


def joined(split: Split, added: Split, tested: Sequence[str]) -> Split:
    """A split with the photographs of another category; who trained and who was held out stays as it was.

    Args:
        split: of the run.
        added: of the photographs of the new category alone.
        tested: names of all test photographs.
    """
    parts = {
        name: getattr(split, name) + getattr(added, name)
        for name in ("train", "validation_normal", "validation_painted")
    }
    held_out = {name: sorted(parts[name]) for name in parts if name != "train"}
    return replace(split, **(parts | held_out), test=list(tested))


def grown(checkpoint: Mapping[str, Any], detector: Detector, name: str) -> dict[str, Any]:
    """A checkpoint that knows a category more, of which nothing is known yet.

    A network with classes is told of the new one by the mean of the embeddings of all others: of the vectors that it
    was never trained on, this is the one nearest to those that it was, so that it rebuilds the new product as it
    rebuilds what all others have in common. Training goes on from there.

    Args:
        checkpoint: of a finished run.
        detector: of the same settings, but for as many classes as there are now.
        name: of the category.
    """
    known = list(checkpoint["categories"])
    detector.know([*known, name])
    here = detector.state_dict()
    weights = dict(checkpoint["state_dict"])
    told = [key for key in weights if key.endswith(_EMBEDDING)]
    content = dict(checkpoint) | {"categories": [*known, name]}
    content["state_dict"] = {key: here[key] for key in here if key not in weights} | _told(weights, told, len(known))
    averaged, trained = _TRAINED
    if averaged in checkpoint:
        beside = dict(checkpoint[averaged][trained])
        content[averaged] = dict(checkpoint[averaged]) | {trained: _told(beside, told, len(known))}
    shapes = {key: here[key].shape for key in told}
    content["optimizer_states"] = [_padded(one, detector, shapes) for one in checkpoint.get("optimizer_states", [])]
    return content


def calibrated(
    checkpoint: Mapping[str, Any],
    detector: Detector,
    data: AnomalyDataModule,
    false_alarms: float | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """A `grown` checkpoint with calibration and normal scores of its last category; all else is as it is there.

    Args:
        checkpoint: as above.
        detector: as above; it takes the weights.
        data: the photographs of the new category alone.
        false_alarms: as of `Verdicts`.
        options: of the trainer that judges them.
    """
    content = dict(checkpoint) | {"state_dict": dict(checkpoint["state_dict"])}
    loaded = dict(checkpoint) | {"state_dict": dict(checkpoint["state_dict"])}
    detector.on_load_checkpoint(loaded)
    detector.load_state_dict(loaded["state_dict"])
    with TemporaryDirectory() as folder:
        trainer = RunTrainer(
            default_root_dir=folder, callbacks=[Verdicts(false_alarms), StepProgress()], logger=False, devices=1,
            enable_checkpointing=False, enable_model_summary=False, deterministic=True, **options,
        )  # fmt: skip
        trainer.validate(detector, datamodule=data, verbose=False)
    number = len(detector.categories) - 1
    own = f"categories.{number}.", f"apart.{number}."
    content["state_dict"] |= {key: value.cpu() for key, value in detector.state_dict().items() if key.startswith(own)}
    for threshold in ("image_threshold", "pixel_threshold"):  # there is none of all categories
        content["state_dict"][threshold] = torch.full_like(content["state_dict"][threshold], torch.nan)
    return content


def point_to(content: dict[str, Any], best: Path) -> None:
    """Let a checkpoint name itself as the best so far, by no figure: the first validation to come may be better.

    Args:
        content: of the checkpoint.
        best: where it will lie.
    """
    content["callbacks"] = {
        key: dict(state) | {"best_model_path": str(best)} if key.startswith(ModelCheckpoint.__name__) else state
        for key, state in content.get("callbacks", {}).items()
    }


def _told(weights: dict[str, Tensor], names: Sequence[str], known: int) -> dict[str, Tensor]:
    """The same with an embedding of class number `known`, the mean of those before it."""
    added = {}
    for name in names:
        if name in weights:
            rows = weights[name]
            mean = rows[:known].mean(0, keepdim=True)
            added[name] = torch.cat([rows[:known], mean, rows[known + 1 :]])
    return weights | added


def _padded(state: Mapping[str, Any], detector: Detector, shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """What an optimiser has learnt, with nothing about rows that embeddings have gained."""
    numbers = {number: shapes.get(name) for number, (name, _) in enumerate(detector.named_parameters())}
    return dict(state) | {
        "state": {
            number: {key: _padded_to(value, numbers.get(number)) for key, value in own.items()}
            for number, own in state["state"].items()
        }
    }


def _padded_to(value: Any, shape: torch.Size | None) -> Any:
    if shape is None or not isinstance(value, Tensor) or value.shape[1:] != shape[1:] or not value.ndim:
        return value
    return torch.cat([value, value.new_zeros(shape[0] - value.shape[0], *shape[1:])])
