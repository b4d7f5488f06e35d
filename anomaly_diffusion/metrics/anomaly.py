"""The two metrics that a callback holds: over pixels and over images."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from anomaly_diffusion.metrics.connected_components import region_shares
from anomaly_diffusion.metrics.curves import (
    ThresholdCounts,
    aupro,
    auroc,
    average_precision,
    count_scores,
    f1_max,
    least_average_precision,
)
from anomaly_diffusion.metrics.histogram import BINS, MOST_GRAIN, ROWS, VACANT, ScoreHistogram, key_score, order_key
from anomaly_diffusion.metrics.magnifier import FAN, Magnifier, Outline, Pixels, Watch, outline
from anomaly_diffusion.types import Labels, Maps, Masks, Scores

TOLERANCE = 1e-3
"""Pixel figures that may be further from those of the very scores come with a warning."""
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
        bound: none of the five figures is further than this from that of the very scores.
    """

    auroc: float
    ap: float
    f1_max: float
    f1_threshold: float
    aupro: float
    aupro_05: float
    bound: float

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

    The figures lie within `TOLERANCE` of those of the very scores, for scores of any range and spread, or a warning
    says how far off they may be; a small set's pixels are sorted exactly, up to `exact` of them. They do not depend on
    batch size, order or number of processes or threads, bit for bit on one machine, unless scores crowd so closely that
    the histogram's own bins do not suffice; then they do so within that bound.

    Args:
        pages: memory for scores, in pages of 96 KiB, at least 2; more of them resolve scores more finely.
        nodes: memory for a closer look where scores crowd, in nodes of 3 KiB that are taken as needed.
        exact: so many pixels are kept one by one, of 16 bytes each, where there are no more; four images of 256 x 256.
        **kwargs: those of `torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = True

    level: Tensor
    grain: Tensor
    pages: Tensor
    counts: Tensor
    seen: Tensor
    first: Tensor
    nodes: Tensor
    node_counts: Tensor

    def __init__(self, pages: int = 64, nodes: int = 2048, exact: int = 1 << 18, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.exact = exact
        zero = torch.zeros((), dtype=torch.int64)
        self.add_state("level", zero, dist_reduce_fx=None)  # ranks are stacked, and merged in `compute`
        self.add_state("grain", zero + MOST_GRAIN, dist_reduce_fx=None)
        self.add_state("pages", torch.full((pages,), VACANT), dist_reduce_fx=None)
        self.add_state("counts", zero, dist_reduce_fx=None)  # a default of full size would take memory, too
        self.add_state("seen", zero, dist_reduce_fx=None)
        self.add_state("first", zero, dist_reduce_fx=None)  # key * 2 + defective, and share, of the first pixels
        self.add_state("nodes", torch.full((nodes,), VACANT), dist_reduce_fx=None)
        self.add_state("node_counts", zero, dist_reduce_fx=None)
        self.reset()

    def reset(self) -> None:
        """Forget all pixels."""
        super().reset()
        self.counts = _lazy_zeros(len(self.pages), BINS).to(self.pages.device)
        self.node_counts = _lazy_zeros(len(self.nodes), FAN).to(self.nodes.device)
        self.first = torch.from_numpy(np.zeros((self.exact, 2), dtype=np.int64)).to(self.pages.device)
        self._watch = Watch()

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
        pixels = []
        for index, key in enumerate(keys):
            inside = ... if valid is None else valid[index]
            found = defective[index] if valid is None else defective[index][valid[index].cpu().numpy()]
            counted = np.flatnonzero(found), region_shares(defective[index, 0])
            pixels.append((key[inside].flatten(), *(torch.from_numpy(part).to(key.device) for part in counted)))
        if pixels:  # a batch may hold no image that counts
            self._count(pixels)

    def _count(self, pixels: Sequence[Pixels]) -> None:
        """Keep the pixels of some images, and once there is no room for all, count these and those before."""
        before = int(self.seen)
        for part in pixels:
            self._keep(*part)
        if int(self.seen) <= self.exact:
            return
        if 0 < before <= self.exact:
            pixels = [_pixels(self.first[:before]), *pixels]
        histogram = ScoreHistogram(int(self.level), self.pages, self.counts, int(self.grain))
        _count_into(histogram, Magnifier(self.nodes, self.node_counts), self._watch, pixels)
        self.level.fill_(histogram.level)
        self.grain.fill_(histogram.grain)

    def _keep(self, key: Tensor, defective: Tensor, share: Tensor) -> None:
        """Keep the first pixels as they are, as long as there is room for all."""
        begin, end = int(self.seen), int(self.seen) + len(key)
        if end <= len(self.first):
            self.first[begin:end, 0] = 2 * key.long()
            self.first[begin + defective] += torch.stack([torch.ones_like(share), share], dim=1)
        self.seen += len(key)

    def compute(self) -> PixelFigures:
        """The figures of all pixels so far."""
        if int(self.seen.sum()) <= self.exact:
            counts = self._exact()
            return _figures(Outline(counts, counts, counts))
        histogram, fine = self._over_ranks()
        figures = _figures(outline(histogram))
        if figures.bound > TOLERANCE and fine.used:
            figures = _figures(outline(histogram, fine))
        if figures.bound > TOLERANCE:
            warnings.warn(
                f"Pixel figures may be off by up to {figures.bound:.1g}: too many scores lie too close to each other. "
                "Measure them before they are squashed (logits, not probabilities).",
                stacklevel=2,
            )
        return figures

    def _exact(self) -> ThresholdCounts:
        """The counts of all pixels of all ranks, sorted."""
        code, share = torch.cat(self._kept()).cpu().numpy().T
        return count_scores(key_score(code >> 1), (code & 1) > 0, share)

    def _kept(self) -> list[Tensor]:
        """The first pixels of each rank."""
        ranks = self.first.view(self.seen.numel(), *self.first.shape[-2:])
        return [rows[:seen] for rows, seen in zip(ranks, self.seen.view(-1).tolist(), strict=True)]

    def _over_ranks(self) -> tuple[ScoreHistogram, Magnifier]:
        """The counts of all ranks (of this one where nothing was gathered)."""
        shape, node_shape = self.counts.shape[-3:], self.node_counts.shape[-3:]
        counts, pages = self.counts.view(-1, *shape), self.pages.view(-1, shape[0])
        states = zip(self.level.view(-1), pages, counts, self.grain.view(-1), strict=True)
        histograms = [ScoreHistogram(int(level), used, held, int(grain)) for level, used, held, grain in states]
        nodes = zip(self.nodes.view(-1, node_shape[0]), self.node_counts.view(-1, *node_shape), strict=True)
        magnifiers = [Magnifier(*state) for state in nodes]
        kept = zip(histograms, magnifiers, self._kept(), self.seen.view(-1).tolist(), strict=True)
        for histogram, magnifier, rows, seen in kept:
            if 0 < seen <= self.exact:  # so few that they were not counted
                _count_into(histogram, magnifier, Watch(), [_pixels(rows)])
        first, *others = histograms
        for other in others:
            first.merge(other)
        fine, *finer = magnifiers
        for more in finer:
            fine = fine.joined(more)
        return first, fine


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


def _count_into(histogram: ScoreHistogram, fine: Magnifier, watch: Watch, pixels: Sequence[Pixels]) -> None:
    for part in pixels:
        histogram.add(*part)
    watch.follow(histogram, fine, pixels)


def _pixels(kept: Int64[Tensor, "N 2"]) -> Pixels:
    """Pixels as they are counted, of rows as they are kept."""
    code, share = kept.unbind(1)
    defective = (code & 1).nonzero().flatten()
    return (code >> 1).int(), defective, share[defective]


def _figures(found: Outline) -> PixelFigures:
    """The likely figures, and how far they may be from those of the best and of the worst order."""
    likely = _of_pixels(found.likely, average_precision(found.likely))
    best = _of_pixels(found.best, average_precision(found.best))
    worst = _of_pixels(found.worst, least_average_precision(found.worst))
    places = [place for place, name in enumerate(PixelFigures._fields) if name not in ("f1_threshold", "bound")]
    off = max(abs(likely[place] - extreme[place]) for extreme in (best, worst) for place in places)
    return PixelFigures(*likely, bound=off)


def _of_pixels(counts: ThresholdCounts, ap: float) -> tuple[float, float, float, float, float, float]:
    return auroc(counts), ap, *f1_max(counts), aupro(counts, 0.3), aupro(counts, 0.05)


def _lazy_zeros(count: int, bins: int) -> Tensor:
    """Counts that take memory only where they are written to."""
    return torch.from_numpy(np.zeros((count, ROWS, bins), dtype=np.int64))


def _check(score: Tensor, defective: Tensor, valid: Tensor) -> None:
    if not score.shape == defective.shape == valid.shape:
        raise ValueError(
            f"Scores and masks must have one shape, got {score.shape}, {defective.shape} and {valid.shape}."
        )
    if not score.is_floating_point():
        raise ValueError(f"Scores must be floating-point, got {score.dtype}.")
    if defective.dtype != torch.bool or valid.dtype != torch.bool:
        raise ValueError(f"Masks and labels must be bool, got {defective.dtype} and {valid.dtype}.")
