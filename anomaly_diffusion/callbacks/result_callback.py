"""What all callbacks that look at judged images share: each image comes once, and figures are put down in one place."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed

from anomaly_diffusion.figures.result_pictures import Compared
from anomaly_diffusion.scoring.categories import Categories
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction, Verdict

__all__ = ["ResultCallback", "RunFigures", "compared_by", "data_module", "from_all_processes", "numbered"]

Item = TypeVar("Item")


@dataclass
class RunFigures:
    """What the callbacks of one trainer have measured: each adds its own part, `RunCard` writes all of it.

    Args:
        figures: by split, "val" or "test", then by "model" or the name of a control, then by their own names.
        by_category: by split, then by the name of a category, then by their own names, where there are several.
        pixels: by split, at what "size" pixels were measured, and what became there of the files' "regions".
        fidelity: of reconstructions of normal test images.
        order: names of the callbacks, in the order in which they are called.
        judge: gives the verdicts on a batch; None where no limit is known.
        results: of all images of the latest test or prediction, in their order.
        verdicts: what came of a test by `verdicts.rates`, and the limits.
        copying: depth, number of painted defects of the validation that its reconstructions copy, and of how many.
        painted_at_depths: mean pixel AP of these defects by the map of each depth alone; empty if nobody measures it.
    """

    figures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    by_category: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    pixels: dict[str, dict[str, Any]] = field(default_factory=dict)
    fidelity: dict[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    judge: Callable[[Prediction, ImageBatch], list[Verdict]] | None = None
    results: list[ImageResult] = field(default_factory=list)
    verdicts: dict[str, Any] = field(default_factory=dict)
    copying: list[tuple[float, int, int]] = field(default_factory=list)
    painted_at_depths: list[float] = field(default_factory=list)


_OF_TRAINER = "_run_figures"  # kept in the trainer, as they lead back to it: elsewhere they would keep it alive


class ResultCallback(pl.Callback, ABC):
    """Consumes every judged image of a test once; images that a sampler repeats, to give all processes as many, do not.

    Attributes:
        shared: what the callbacks of the same trainer have measured.
        consumes_validation: whether images of validations come as well.
        consumes_predict: whether unknown images come as well.
    """

    consumes_validation: ClassVar[bool] = False
    consumes_predict: ClassVar[bool] = False

    def __init__(self) -> None:
        self.shared = RunFigures()
        self._seen = 0  # images of this process in the present pass, repeated ones among them

    @abstractmethod
    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the images of the last pass."""

    @abstractmethod
    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Take in a batch, which may be empty where all its images have been seen by other processes."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Share figures with the other callbacks of the trainer."""
        self.shared = vars(trainer).setdefault(_OF_TRAINER, RunFigures())
        if type(self).__name__ not in self.shared.order:
            self.shared.order.append(type(self).__name__)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a pass."""
        if self.consumes_validation:
            self._seen = 0
            self.begin(trainer, pl_module)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a pass."""
        self._seen = 0
        self.begin(trainer, pl_module)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a pass."""
        if self.consumes_predict:
            self._seen = 0
            self.begin(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consume a batch."""
        if self.consumes_validation:
            self.consume(trainer, pl_module, *self._new(trainer, pl_module, trainer.val_dataloaders, outputs, batch))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consume a batch."""
        self.consume(trainer, pl_module, *self._new(trainer, pl_module, trainer.test_dataloaders, outputs, batch))

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consume a batch."""
        if self.consumes_predict:
            self.consume(
                trainer, pl_module, *self._new(trainer, pl_module, trainer.predict_dataloaders, outputs, batch)
            )

    def _new(
        self, trainer: pl.Trainer, pl_module: Any, loader: Any, prediction: Prediction, batch: ImageBatch
    ) -> tuple[Prediction, ImageBatch]:
        """A batch without what a sampler has added at the end of the pass, with categories as the module knows them."""
        batch = numbered(pl_module, batch)
        count, world = len(batch.path), trainer.world_size
        place = torch.arange(self._seen, self._seen + count) * world + trainer.global_rank
        self._seen += count
        if world == 1 or bool((place < len(loader.dataset)).all()):
            return prediction, batch
        keep = place < len(loader.dataset)
        return prediction.rows(keep), batch.rows(keep)


def from_all_processes(items: Sequence[Item]) -> list[Item]:
    """The items of all processes, the first of each, then the second of each: as samplers deal images out."""
    if not torch.distributed.is_initialized():
        return list(items)
    gathered: list[list[Item]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(gathered, list(items))
    rounds = range(max(map(len, gathered)))
    return [items[place] for place in rounds for items in gathered if place < len(items)]


def numbered(pl_module: Any, batch: ImageBatch) -> ImageBatch:
    """A batch with categories as a module knows them; as it is where it knows none apart."""
    categories = getattr(pl_module, "categories", None)
    return categories.numbered(batch) if isinstance(categories, Categories) else batch


def data_module(trainer: pl.Trainer) -> Any:
    """The data module of a trainer; None where it was given loaders."""
    return getattr(trainer, "datamodule", None)


def compared_by(pl_module: Any) -> Compared:
    """What a detector compares; photographs where it does not say."""
    photographs = bool(getattr(getattr(pl_module, "codec", None), "photographs", True))
    return Compared(photographs, tuple(getattr(pl_module, "depths", ())))
