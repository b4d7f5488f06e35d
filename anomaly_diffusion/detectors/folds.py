"""Folds: few normal images all train and all validate, each judged by a copy of the detector that has not seen it.

New images are judged by all copies, and their verdicts averaged: limits are those of the copies, and would be another's
for a detector that learns from all images, whose statistics rest on more of them.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.types import ImageBatch, Prediction

if TYPE_CHECKING:
    from anomaly_diffusion.detectors.detector import Detector

__all__ = ["Withheld", "add_copies", "is_frozen", "let_forget", "loss_of", "mean_of", "routed"]


@dataclass(frozen=True)
class Withheld(Iterable[ImageBatch]):
    """Batches without some of their images, as often as they are asked for.

    Attributes:
        batches: with all images.
        names: paths of the images that are left out.
    """

    batches: Iterable[ImageBatch]
    names: Collection[str]

    def __iter__(self) -> Iterator[ImageBatch]:
        for batch in self.batches:
            kept = _rows(batch, self.names, inside=False)
            if len(kept):
                yield batch.rows(kept)


def add_copies(detector: "Detector", folds: Sequence[Sequence[str]]) -> None:
    """Let a detector withhold the first fold from itself, and each other one from a copy of its own.

    Frozen networks, the calibration and what splits batches are those of the detector.

    Args:
        detector: as it is before training.
        folds: paths of images, each image in one of them; without any, nothing happens.
    """
    if not folds:
        return
    trainer, detector._trainer = detector._trainer, None  # there is one trainer
    kept = [detector.calibration, detector.categories, detector.micro_batches]
    shared = [*filter(is_frozen, detector.modules()), *kept]
    try:
        made = [deepcopy(detector, {id(one): one for one in shared}) for _ in folds[1:]]
    finally:
        detector._trainer = trainer
    for copy, names in zip((detector, *made), folds, strict=True):
        copy._trainer, copy.withheld = trainer, frozenset(names)
    detector.folds.extend(made)


def routed(detector: "Detector", batch: ImageBatch) -> Iterator[tuple["Detector", Tensor]]:
    """Who has not learnt from which images of a batch, by their numbers; the detector itself takes unknown ones."""
    left = set(range(len(batch.path)))
    for copy in detector.ensemble[1:]:
        rows = _rows(batch, copy.withheld)
        left -= set(rows.tolist())
        if len(rows):
            yield copy, rows
    if left:
        yield detector, torch.tensor(sorted(left), device=batch.image.device)


def mean_of(predictions: Sequence[Prediction]) -> Prediction:
    """The mean of verdicts on the same images; what is shown of reconstructions is that of the first."""
    first, *others = predictions
    if not others:
        return first
    maps, fused, score = (
        torch.stack([getattr(one, name) for one in predictions]).mean(0)
        for name in ("depth_maps", "anomaly_map", "score")
    )
    return replace(first, depth_maps=maps, anomaly_map=fused, score=score, nfe=sum(one.nfe for one in predictions))


def loss_of(detector: "Detector", batch: ImageBatch, batch_idx: int) -> Tensor:
    """Loss of a detector or copy on the images of a batch that it may learn from; 0 where there are none."""
    if not detector.withheld:
        return detector.training_loss(batch, batch_idx)
    rows = _rows(batch, detector.withheld, inside=False)
    if len(rows):
        return detector.training_loss(batch.rows(rows), batch_idx)
    return 0 * torch.stack([weight.sum() for weight in detector.parameters()]).sum()  # processes wait for gradients


def let_forget(detector: "Detector", checkpoint: dict[str, Any]) -> None:
    """Let the copies of a detector forget, in their part of a checkpoint, the calibration of other settings."""
    for number, copy in enumerate(detector.ensemble[1:]):
        prefix, state = f"folds.{number}.", checkpoint["state_dict"]
        own = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
        part = checkpoint | {"state_dict": own, "folds": []}
        copy.on_load_checkpoint(part)
        state |= {prefix + name: tensor for name, tensor in part["state_dict"].items()}


def _rows(batch: ImageBatch, names: Collection[str], inside: bool = True) -> Tensor:
    """Numbers (K) of the images of a batch whose paths are among `names`, or are not."""
    numbers = [number for number, path in enumerate(batch.path) if (path in names) == inside]
    return torch.tensor(numbers, dtype=torch.int64, device=batch.image.device)


def is_frozen(module: nn.Module) -> bool:
    """Whether nothing in a network is learnt: a copy might not stay as it is, in its mode of evaluation for one."""
    nothing_kept = bool(list(module.buffers())) and not list(module.parameters()) and not module.state_dict()
    return isinstance(module, FeatureExtractor) or nothing_kept
