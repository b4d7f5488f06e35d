"""Figures of merit for the model, and for the trivial controls that must stand beside it."""

from functools import reduce
from operator import add
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from anomaly_diffusion.callbacks.measured_pixels import FilePixels, FramePixels
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module
from anomaly_diffusion.measures.controls import NO_IMAGE, Normals, control_maps, control_scores
from anomaly_diffusion.metrics.anomaly import ImageMetrics, PixelMetrics
from anomaly_diffusion.metrics.per_image_overlap import PerImageOverlap
from anomaly_diffusion.scoring.pooling import TopKMean
from anomaly_diffusion.types import ImageBatch, Labels, Maps, Masks, Prediction, Scores

_PIXELS: dict[str, type[FramePixels] | type[FilePixels]] = {"frame": FramePixels, "original": FilePixels}


class Scorecard:
    """Image figures of one detector, and pixel figures if it gives maps."""

    def __init__(self, device: torch.device, maps: bool) -> None:
        self.image = ImageMetrics().to(device)
        self.pixel = PixelMetrics().to(device) if maps else None
        self.overlap = PerImageOverlap().to(device)

    def count_images(self, score: Scores, label: Labels) -> None:
        """Take in the images of a batch."""
        self.image.update(score.float(), label)

    def count_pixels(self, anomaly_map: Maps, mask: Masks, valid: Masks | None) -> None:
        """Take in the pixels of some images."""
        if self.pixel is not None:
            self.pixel.update(anomaly_map.float(), mask, valid)
            self.overlap.update(anomaly_map, mask, valid)

    def compute(self) -> tuple[dict[str, float], float]:
        """The figures by name, and the score at which F1 is largest."""
        image = self.image.compute()
        figures = image.as_dict()
        if self.pixel is not None:
            figures |= self.pixel.compute().as_dict() | {"aupimo": self.overlap.compute()}
        return figures, image.f1_threshold


class AnomalyMetrics(ResultCallback):
    """Measures predictions in validation and test, and logs them.

    Logs `val/<figure>` and `test/<figure>` for image_auroc, image_ap, image_f1_max, pixel_auroc, pixel_ap,
    pixel_f1_max, aupro, aupro_05 and aupimo; of validation also `image_f1_threshold`, the score at which F1 is largest:
    a limit that knows painted defects, to be compared with that of `Verdicts`.

    Where the data have several categories, the model is also measured within each of them: `shared.by_category`.

    The controls (`measures.controls`) are measured on the very same images. What they know of normal images comes
    from the first training batches, as the model sees them, but in whole frames where it sees crops, and is kept in
    the checkpoint: never from validation or test. Their maps are pooled like a detector's by default (`TopKMean`).
    All figures go into `shared`: of each split the "model" first, then each control; and at what "size" pixels were
    measured, and what became there of the files' defective "regions" (`data.regions.Regions`).

    Args:
        normals: number of training images from which the controls learn the mean image, and mean and standard deviation
            of each statistic.
        size: at what size a test measures pixels: of the frames that the detector sees, or of the original files. There
            each region counts as the file has it, and small ones are as small as they are; a test takes longer,
            and memory for a few maps of one file's size. Validation measures in frames: it happens often.
    """

    consumes_validation = True

    def __init__(self, normals: int = 1024, size: Literal["frame", "original"] = "frame") -> None:
        if normals < 2:
            raise ValueError(f"`normals` must be at least 2, got {normals}.")
        if size not in _PIXELS:
            raise ValueError(f"`size` must be one of {', '.join(_PIXELS)}, got {size}.")
        super().__init__()
        self.wanted = normals
        self._in_test = _PIXELS[size]
        self._measured: FramePixels | FilePixels = FramePixels(None)
        self._normals: Normals | None = None
        self._cards: dict[str, Scorecard] = {}
        self._of_category: dict[str, Scorecard] = {}
        self._settled = False  # the controls have been measured on this validation split with all they will ever know

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the controls anew: the images may be others, and of another size than those of a resumed run."""
        self._settled = False
        data = data_module(trainer)
        size = None if getattr(data, "tiles", None) else getattr(data, "image_size", None)
        if self._normals is not None and size is not None and tuple(self._normals.image.shape[1:]) != tuple(size):
            self._normals = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: ImageBatch, batch_idx: int
    ) -> None:
        """Let the controls learn from the first normal images."""
        if self._learned < self.wanted:  # the same in all processes
            seen = _over_ranks(_seen(trainer, batch), trainer, pl_module.device)
            if seen.count:
                self._normals = self._normals + seen if self._normals else seen

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count."""
        self._cards, self._of_category = {}, {}
        self._settled &= trainer.state.fn == TrainerFn.FITTING
        self._measured = (self._in_test if trainer.testing else FramePixels)(data_module(trainer))

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure a batch; if it is empty too, as processes must know the same controls to compute them together."""
        maps, scores = {"model": prediction.anomaly_map}, {"model": prediction.score}
        if not self._settled:
            normals = self._normals_like(batch)
            controls = control_maps(batch, normals)
            scores |= {name: TopKMean()(anomaly_map, batch.valid) for name, anomaly_map in controls.items()}
            scores |= control_scores(batch, normals)
            maps |= controls
        for name, score in scores.items():
            if name not in self._cards:
                self._cards[name] = Scorecard(batch.image.device, maps=name in maps)
            self._cards[name].count_images(score, batch.label)
        for part in self._measured.of(batch, maps):
            for name, anomaly_map in part.maps.items():
                self._cards[name].count_pixels(anomaly_map, part.mask, part.valid)
        if len(batch.categories) > 1:
            self._count_by_category(prediction, batch)

    def _count_by_category(self, prediction: Prediction, batch: ImageBatch) -> None:
        """Measure the images of each category by themselves; every process knows all of them."""
        for number, name in enumerate(batch.categories):
            card = self._of_category.setdefault(name, Scorecard(batch.image.device, maps=True))
            rows = (batch.category == number).nonzero()[:, 0]
            own = batch.rows(rows)
            card.count_images(prediction.score[rows], own.label)
            for part in self._measured.of(own, {"model": prediction.anomaly_map[rows]}):
                card.count_pixels(part.maps["model"], part.mask, part.valid)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures."""
        if trainer.sanity_checking or not self._cards:
            return
        self._finish(pl_module, "val")
        self._settled = self._learned >= self.wanted

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures."""
        if self._cards:
            self._finish(pl_module, "test")

    def state_dict(self) -> dict[str, Any]:
        """What the controls know of normal images, and the figures of the latest validation."""
        normals = None if self._normals is None else dict(vars(self._normals))
        return {
            "normals": normals,
            "val": self.shared.figures.get("val"),
            "pixels": self.shared.pixels.get("val"),
            "by_category": self.shared.by_category.get("val"),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Show the validation that belongs to the checkpoint; keep what is known of normal images if it is more."""
        if state_dict["val"] is not None:
            self.shared.figures["val"] = state_dict["val"]
            self.shared.pixels["val"] = state_dict.get("pixels") or {}  # runs of before did not say
            self.shared.by_category["val"] = state_dict.get("by_category") or {}
        normals = state_dict["normals"]
        if normals is not None and (self._normals is None or self._normals.count < normals["count"]):
            self._normals = Normals(**normals)

    def _normals_like(self, batch: ImageBatch) -> Normals | None:
        """What is known of normal images, if those were of the size of a batch."""
        known = self._normals is not None and self._normals.image.shape in (batch.image.shape[1:], NO_IMAGE)
        return self._normals if known else None

    @property
    def _learned(self) -> float:
        return 0.0 if self._normals is None else float(self._normals.count)

    def _finish(self, pl_module: pl.LightningModule, split: str) -> None:
        results = {name: card.compute() for name, card in self._cards.items()}
        measured = {name: figures for name, (figures, _) in results.items()}
        if split == "val":
            measured["model"]["image_f1_threshold"] = results["model"][1]
        self.shared.figures[split] = {**self.shared.figures[split], **measured} if self._settled else measured
        self.shared.by_category[split] = {name: card.compute()[0] for name, card in self._of_category.items()}
        self.shared.pixels[split] = self._measured.described({"val": "validation"}.get(split, split))
        self._cards, self._of_category = {}, {}
        for name, figure in measured["model"].items():
            pl_module.log(f"{split}/{name}", figure, sync_dist=True, reduce_fx="max")


def _seen(trainer: pl.Trainer, batch: ImageBatch) -> Normals:
    """What a training batch says of normal images, in frames as large as those of evaluation."""
    data = data_module(trainer)
    if not hasattr(data, "whole"):
        return Normals.of(batch)
    if getattr(data, "tiles", None) is None:
        return Normals.of(data.whole(batch, trainer.current_epoch))
    alone = (batch.rows(number) for number in torch.arange(len(batch.path)).split(1))  # each may be large
    return reduce(add, (Normals.of(data.whole(one, trainer.current_epoch)) for one in alone))


def _over_ranks(normals: Normals, trainer: pl.Trainer, device: torch.device) -> Normals:
    """The sums over all processes."""
    if trainer.world_size == 1:
        return normals
    sums = {name: trainer.strategy.reduce(value.to(device), reduce_op="sum") for name, value in vars(normals).items()}
    return Normals(**{name: value.cpu() for name, value in sums.items()})
