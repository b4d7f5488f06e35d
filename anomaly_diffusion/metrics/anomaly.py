"""The two metrics that a callback holds: over pixels and over images."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from anomaly_diffusion.metrics.curves import aupro, auroc, average_precision, count_scores, f1_max
from anomaly_diffusion.metrics.histogram import BINS, ROWS, VACANT, ScoreHistogram, order_key
from anomaly_diffusion.metrics.regions import region_shares
from anomaly_diffusion.types import Labels, Maps, Masks, Scores

_ROOM = 1024  # images in the first block of `ImageMetrics`


class PixelFigures(NamedTuple):
    """How well anomaly maps find defective pixels; NaN without defective or without normal pixels.

    Attributes:
        auroc: area under the receiver operating characteristic.
        ap: average precision.
        f1_max: F1 at the best threshold.
        f1_threshold: that threshold; a pixel is called defective if its score is at least this.
        aupro: area under the per-region overlap up to a false-positive rate of 0.3.
        aupro_05: the same up to 0.05.
    """

    auroc: float
    ap: float
    f1_max: float
    f1_threshold: float
    aupro: float
    aupro_05: float

    def as_dict(self) -> dict[str, float]:
        """The figures under their public names."""
        return {
            "pixel_auroc": self.auroc,
            "pixel_ap": self.ap,
            "pixel_f1_max": self.f1_max,
            "aupro": self.aupro,
            "aupro_05": self.aupro_05,
        }


class ImageFigures(NamedTuple):
    """How well image scores find defective images; NaN without defective or without normal images.

    Attributes:
        auroc: area under the receiver operating characteristic.
        ap: average precision.
        f1_max: F1 at the best threshold.
        f1_threshold: that threshold; an image is called defective if its score is at least this.
    """

    auroc: float
    ap: float
    f1_max: float
    f1_threshold: float

    def as_dict(self) -> dict[str, float]:
        """The figures under their public names."""
        return {"image_auroc": self.auroc, "image_ap": self.ap, "image_f1_max": self.f1_max}


class PixelMetrics(Metric):
    """Curves over all pixels of all images, in one pass and in memory that does not grow with their number.

    The figures do not depend on batch size, order or number of processes or threads, bit for bit on one machine.

    Args:
        pages: memory for scores, in pages of 96 KiB, at least 2; more of them resolve scores more finely.
        **kwargs: those of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = True

    level: Tensor
    pages: Tensor
    counts: Tensor

    def __init__(self, pages: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        zero = torch.zeros((), dtype=torch.int64)
        self.add_state("level", zero, dist_reduce_fx=None)  # ranks are stacked, and merged in `compute`
        self.add_state("pages", torch.full((pages,), VACANT), dist_reduce_fx=None)
        self.add_state("counts", zero, dist_reduce_fx=None)  # a default of full size would take memory, too
        self.reset()

    def reset(self) -> None:
        """Forget all pixels."""
        super().reset()
        zeros = np.zeros((len(self.pages), ROWS, BINS), dtype=np.int64)  # takes memory only where it is written to
        self.counts = torch.from_numpy(zeros).to(self.pages.device)

    def update(self, anomaly_map: Maps, mask: Masks, valid: Masks | None = None) -> None:
        """Count the pixels of a batch.

        Args:
            anomaly_map: scores of any range, larger is worse.
            mask: True for defective pixels.
            valid: False for pixels that belong to no photograph, which are left out; all count if None.

        Raises:
            ValueError: if a score is NaN, or shapes or types do not fit.
        """
        _check(anomaly_map, mask, mask if valid is None else valid)
        scores = anomaly_map.detach() if valid is None else anomaly_map.detach().masked_fill(~valid, 0.0)
        keys = order_key(scores)  # refuses NaN before anything is counted
        defective = (mask if valid is None else mask & valid).cpu().numpy()
        histogram = ScoreHistogram(int(self.level), self.pages, self.counts)
        for index, key in enumerate(keys):
            inside = ... if valid is None else valid[index]
            found = defective[index] if valid is None else defective[index][valid[index].cpu().numpy()]
            counted = np.flatnonzero(found), region_shares(defective[index, 0])
            histogram.add(key[inside].flatten(), *(torch.from_numpy(part).to(key.device) for part in counted))
        self.level.fill_(histogram.level)

    def compute(self) -> PixelFigures:
        """The figures of all pixels so far."""
        counts = self._histogram().descending()
        return PixelFigures(
            auroc(counts), average_precision(counts), *f1_max(counts), aupro(counts, 0.3), aupro(counts, 0.05)
        )

    def _histogram(self) -> ScoreHistogram:
        """The histogram of all ranks (of this one where nothing was gathered)."""
        shape = self.counts.shape[-3:]
        states = zip(self.level.view(-1), self.pages.view(-1, shape[0]), self.counts.view(-1, *shape), strict=True)
        first, *others = (ScoreHistogram(int(level), pages, counts) for level, pages, counts in states)
        for other in others:
            first.merge(other)
        return first


class ImageMetrics(Metric):
    """Curves over image scores, which are kept: they are few.

    They stand in one block that doubles when it is full. A tensor for each batch, small as it is, would lie between the
    large ones that come and go, and keep the allocator from using their room again: memory would grow by half a
    megabyte with each image.

    Args:
        **kwargs: those of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    known: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("known", [], dist_reduce_fx="cat")  # one block of scores and labels (0 or 1); NaN is room
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self.known.append(torch.full((_ROOM, 2), torch.nan, device=self.device))
        self._count = 0

    def update(self, score: Scores, label: Labels) -> None:
        """Keep the scores of a batch.

        Args:
            score: of any range, larger is worse.
            label: True for defective images.

        Raises:
            ValueError: if a score is NaN, or shapes or types do not fit.
        """
        _check(score, label, label)
        order_key(score)  # refuses NaN
        end = self._count + len(score)
        while end > len(self.known[0]):
            self.known[0] = torch.cat([self.known[0], torch.full_like(self.known[0], torch.nan)])
        self.known[0][self._count : end] = torch.stack([score.detach().float(), label.float()], dim=1)
        self._count = end

    def compute(self) -> ImageFigures:
        """The figures of all images so far."""
        known = dim_zero_cat(self.known).cpu().numpy()
        score, label = known[~np.isnan(known[:, 1])].T
        counts = count_scores(score, label > 0)
        return ImageFigures(auroc(counts), average_precision(counts), *f1_max(counts))


def _check(score: Tensor, defective: Tensor, valid: Tensor) -> None:
    if not score.shape == defective.shape == valid.shape:
        raise ValueError(
            f"Scores and masks must have one shape, got {score.shape}, {defective.shape} and {valid.shape}."
        )
    if not score.is_floating_point():
        raise ValueError(f"Scores must be floating-point, got {score.dtype}.")
    if defective.dtype != torch.bool or valid.dtype != torch.bool:
        raise ValueError(f"Masks and labels must be bool, got {defective.dtype} and {valid.dtype}.")
