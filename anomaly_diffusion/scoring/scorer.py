"""Scoring: residuals of all depths, smoothed, calibrated and fused to one map."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.scoring.calibration import Calibration
from anomaly_diffusion.scoring.pooling import Pooling, TopKMean
from anomaly_diffusion.scoring.registration import Registration
from anomaly_diffusion.scoring.residual import (
    ActivationReader,
    Answers,
    L1Residual,
    Learner,
    Question,
    Reading,
    Residual,
    reading_once,
)
from anomaly_diffusion.scoring.smoothing import GaussianSmoothing
from anomaly_diffusion.scoring.strips import by_strips, stacked
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Encoded

__all__ = ["Scoring", "enlarged"]

_LEAST_VARIANCE = "least_variance"
_FUSED = 2**20  # pixels whose maps are fused at once: of more, products of matrices may round otherwise


class Scoring(Configured, nn.Module):
    """Residuals of every depth, smoothed, standardised on normal images and fused.

    Args:
        residuals: what is compared; L1 if not given.
        weights: weight of each residual after standardisation, >= 0; equal if not given. "least_variance": those of
            every map, learnt on held-out normal images, with which their sum varies least (`Calibration`).
        smoothing: standard deviation of the Gaussian smoothing of residuals, in pixels, >= 0.
        pooling: how a map becomes a score; the mean of the worst 0.2 % of pixels if not given.
        two_sided: whether a residual far below normal is an anomaly as well, as where texture has been wiped away;
            maps are then root mean squares of standardised residuals.
        calibration_sigma: standard deviation, in pixels, of the neighbourhood that residuals are standardised by, > 0:
            right for objects that always lie alike. None: all positions are standardised alike.
        calibration_floor: least standard deviation of a neighbourhood, in those of all positions, in [0, 1]: below 1,
            what is quiet on all normal images is looked at more closely than the rest.
        registration: moves photographs onto the mean normal one first; None: parts are judged where they lie.
    """

    most: ClassVar[dict[str, float]] = {"smoothing": 1000, "calibration_sigma": 1000}
    added: ClassVar[dict[str, Any]] = {"calibration_floor": 1.0, "least_variance": False, "registration": None}

    def __init__(
        self,
        residuals: Sequence[Residual] | None = None,
        weights: Sequence[float] | Literal["least_variance"] | None = None,
        smoothing: float = 1.0,
        pooling: Pooling | None = None,
        two_sided: bool = False,
        calibration_sigma: float | None = None,
        calibration_floor: float = 1.0,
        registration: Registration | None = None,
    ) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(residuals or [L1Residual()])
        if isinstance(weights, str) and weights != _LEAST_VARIANCE:
            raise ValueError(f"`weights` must be numbers, null or {_LEAST_VARIANCE!r}, got {weights!r}.")
        self.least_variance = isinstance(weights, str)
        given = None if isinstance(weights, str) else weights
        self.weights = torch.tensor(given or [1.0] * len(self.residuals))
        if len(self.weights) != len(self.residuals):
            raise ValueError(
                f"`weights` must have one entry per residual ({len(self.residuals)}), got {len(self.weights)}."
            )
        if (self.weights < 0).any() or not self.weights.any():
            raise ValueError(f"`weights` must be >= 0 and not all zero, got {self.weights.tolist()}.")
        if not 0 <= smoothing < math.inf:
            raise ValueError(f"`smoothing` must be finite and not negative, got {smoothing}.")
        self.smoothing = GaussianSmoothing(smoothing)
        self.pooling = pooling or TopKMean()
        if calibration_sigma is not None and not 0 < calibration_sigma < math.inf:
            raise ValueError(
                f"`calibration_sigma` must be positive and finite, or null for none, got {calibration_sigma}."
            )
        if not 0 <= calibration_floor <= 1:
            raise ValueError(f"`calibration_floor` must lie in [0, 1], got {calibration_floor}.")
        self.registration = registration
        self.two_sided, self.calibration_sigma, self.calibration_floor = two_sided, calibration_sigma, calibration_floor

    def calibration(self, count: int) -> Calibration:
        """What standardises so many maps; it knows no images yet."""
        return Calibration(count, self.calibration_sigma, self.calibration_floor)

    def compare(
        self,
        reference: Encoded,
        reconstruction: Float[Tensor, "B D c h w"],
        size: Sequence[int],
        answers: Answers | None = None,
    ) -> Tensor:
        """Smoothed residual maps (B, D*K, *size); depths vary slowest.

        Args:
            reference: what perfect reconstructions would be.
            reconstruction: reconstructions, one per depth.
            size: height and width of the maps, in pixels; coarser residuals are interpolated.
            answers: to `questions`, where they have been asked tile by tile.
        """
        with torch.autocast(reference.device.type, enabled=False), reading_once():  # small differences need all digits
            if answers is not None:
                answers.tell(self.questions, reference, reconstruction)

            def smoothed(residual: Residual) -> Tensor:
                maps: Tensor = self.smoothing(enlarged(residual.maps(reference, reconstruction), size))
                return maps

            return stacked([partial(smoothed, residual) for residual in self._residuals()]).flatten(1, 2)

    @property
    def questions(self) -> list[Question]:
        """What residuals ask networks about images that they compare."""
        return [question for residual in self._residuals() for question in residual.questions]

    @property
    def learners(self) -> list[Residual]:
        """Residuals that must learn from normal images first."""
        return [residual for residual in self._residuals() if residual.lessons]

    @property
    def by_position(self) -> bool:
        """Whether statistics of each position are known, hence images of one size only."""
        return self.calibration_sigma is not None or any(residual.by_position for residual in self._residuals())

    @property
    def lessons(self) -> list[list[Learner]]:
        """What learns at the same time, in the order of time: see `Residual.lessons`."""
        learners = [residual.lessons for residual in self._residuals()]
        longest = max(map(len, learners))
        return [[lessons[number] for lessons in learners if len(lessons) >= -number] for number in range(-longest, 0)]

    def evaluations(self, depths: int) -> int:
        """Network evaluations that residuals ask for an image and its reconstructions at so many depths."""
        readings: frozenset[Reading] = frozenset().union(*(residual.reads for residual in self._residuals()))
        return sum(depths if reading.of_reconstruction else 1 for reading in readings)

    def attach(self, reader: ActivationReader | None) -> None:
        """Tell residuals how to read the detector's denoiser; None where it has none.

        Raises:
            ValueError: there is none, but a residual reads it.
        """
        for residual in self._residuals():
            residual.attach(reader)

    def _residuals(self) -> Iterable[Residual]:
        return self.residuals  # type: ignore[return-value]

    def judge(
        self, residuals: Tensor, calibration: Calibration, weights: Float[Tensor, " K"] | None = None, scales: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Calibrated maps of each depth, all scales fused (B, D, H, W), and of all depths fused (B, 1, H, W).

        Args:
            residuals: (B, S*D*K, H, W), scales vary slowest, then depths.
            calibration: of these S*D*K maps.
            weights: of the K maps of a depth; those of the residuals if not given.
            scales: S.
        """
        rows = self.rows(calibration, self.weights if weights is None else weights, scales)
        return self.fused(residuals, calibration, rows)

    def rows(self, calibration: Calibration, weights: Float[Tensor, " K"], scales: int = 1) -> Float[Tensor, "F M"]:
        """Weights of all M = S*D*K maps, in the map of each depth and in that of all depths (F = D + 1).

        In the latter a map that is the same at every depth, as it looks at the image alone, counts once.
        """
        depths = len(calibration.mean) // (scales * len(weights))
        per_depth = torch.block_diag(*[weights] * depths).repeat(1, scales)  # (D, S*D*K)
        rows = torch.cat([per_depth, (weights / self._repeated(weights, depths)).repeat(1, scales * depths)])
        return calibration.of_least_variance(rows) if self.least_variance else rows

    def _repeated(self, weights: Float[Tensor, " K"], depths: int) -> Tensor:
        """How often each map occurs among those of all depths: what no reconstruction changes is to count once."""
        if len(weights) != len(self.residuals):  # maps of a strategy, each of its depth
            return torch.ones_like(weights)
        return weights.new_tensor([1 if one.reads_reconstruction else depths for one in self._residuals()])

    def fused(self, residuals: Tensor, calibration: Calibration, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated maps of each depth and of all, with the weights that `rows` gives."""
        with torch.autocast(residuals.device.type, enabled=False):
            mean, std = calibration.statistics(residuals)

            def fuse(strip: Tensor, mean: Tensor, std: Tensor) -> Tensor:
                standardised = (strip - mean) / std
                return _mean_square(standardised, rows) if self.two_sided else calibration.fuse(standardised, rows)

            fused = by_strips(fuse, 0, residuals, mean, std, pixels=_FUSED)
        return fused[:, :-1], fused[:, -1:]


def enlarged(maps: Float[Tensor, "B M h w"], size: Sequence[int]) -> Float[Tensor, "B M H W"]:
    """Maps interpolated to a height and width."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def _mean_square(standardised: Tensor, weights: Tensor) -> Tensor:
    """Root mean squares (B, F, H, W) of maps (B, M, H, W), weighted by each row of (F, M)."""
    shares = (weights / weights.sum(1, keepdim=True)).to(standardised)
    return torch.einsum("fm,bmhw->bfhw", shares, standardised.square()).sqrt()
