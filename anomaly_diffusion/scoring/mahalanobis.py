"""Mahalanobis residual: differences by mean and covariance of those of normal images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import Encoded, Maps, Masks, inside

__all__ = ["MahalanobisResidual", "PositionGaussian", "Scatter"]

_TOGETHER = 256  # positions whose covariances are in memory in float64, several times over


@dataclass(frozen=True)
class Scatter:
    """Number, mean and centred products of differences at P positions, for D depths; adds up over batches.

    Sums about zero would lose the covariance where the mean is many deviations long, in float32 at a hundred.

    Reference: Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.

    Differs from the paper: products of channels instead of squares alone, and positions of different counts.

    Attributes:
        count: number of differences.
        mean: theirs.
        products: sums over (difference - mean) (difference - mean)'.
        rows: the factors of further such products that have not been multiplied yet.
    """

    count: Float[Tensor, "P 1"]
    mean: Float[Tensor, "D P C"]
    products: Float[Tensor, "D P C C"] | None
    rows: Float[Tensor, "D P _ C"]

    @classmethod
    def of(cls, rows: Float[Tensor, "D P B C"], known: Float[Tensor, "P B 1"]) -> "Scatter":
        """That of the rows that `known` marks with 1."""
        count = known.sum(1)
        mean = (rows * known).sum(2) / count.clamp(min=1)
        return cls(count, mean, None, (rows - mean[:, :, None]).mul_(known))

    def __add__(self, other: "Scatter") -> "Scatter":
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"Photographs of several sizes have no positions in common: {self.mean.shape[1]} and "
                f"{other.mean.shape[1]}. Give them one frame, `--data.tiles.frame`, or set `per_position: false`."
            )
        count = self.count + other.count
        away, share = other.mean - self.mean, other.count / count.clamp(min=1)
        rows = torch.cat([other.rows, (away * (self.count * share).sqrt())[:, :, None]], dim=2)
        rows = rows if self.products is not None else torch.cat([self.rows, rows], dim=2)
        known = [one.products for one in (self, other) if one.products is not None]
        return Scatter(count, self.mean + away * share, _products(rows, known), rows[:, :, :0])

    def __radd__(self, nothing: int) -> "Scatter":
        return self

    def overall(self) -> "Scatter":
        """That of all positions together, in float64."""
        counts, means, products = self.count.double(), self.mean.double(), self.covered()
        count = counts.sum(0, keepdim=True)
        mean = (counts * means).sum(1, keepdim=True) / count
        between = (means - mean) * counts.sqrt()
        within = torch.stack([row.double().sum(1) for row in products.unbind(2)], dim=1)[:, None]  # all would take room
        nothing = self.rows[:, :1, :0].double()
        return Scatter(count, mean, within + (between.transpose(1, 2) @ between)[:, None], nothing)

    def covered(self) -> Float[Tensor, "D P C C"]:
        """All products."""
        return _products(self.rows, [] if self.products is None else [self.products])

    def parts(self, size: int) -> Iterator["Scatter"]:
        """Those of up to `size` positions at a time."""
        for first in range(0, len(self.count), size):
            some = slice(first, first + size)
            products = None if self.products is None else self.products[:, some]
            yield Scatter(self.count[some], self.mean[:, some], products, self.rows[:, some])

    def double(self) -> "Scatter":
        """The same in float64."""
        return Scatter(self.count.double(), self.mean.double(), self.covered().double(), self.rows[:, :, :0].double())


class MahalanobisResidual(Residual, AnySize):
    r"""Distance of a difference from those of normal images, in standard deviations per channel.

    d = sqrt((r - mean)' S^-1 (r - mean) / C),   r = image - reconstruction

    with a mean and a covariance S of its own for each depth and, unless turned off, each position. Where a position has
    seen n normal images, its moments count n times and those of all positions together `prior` times, so that few
    images do no harm. A position that nothing is known of, in the padding of a letterbox, has those of all.

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, Eq. 1 and 2, which is this
    residual of a constant reconstruction.

    Differs from the paper: differences are measured in place of features; the statistics of all positions count at each
    (`prior`), theirs at none; a share of the mean variance is added to the diagonal (`floor`), theirs 0.01; moments are
    divided by the number of images, theirs by one less; a distance is divided by the root of the number of channels;
    each depth and, unless it is turned off, each position has statistics of its own, and channels are correlated unless
    `full` is turned off. `PositionGaussian` is the paper's.

    Args:
        per_position: whether each position has statistics of its own; right for objects that always lie alike.
        full: whether channels are known to be correlated; otherwise each has but its variance.
        prior: weight of the statistics of all positions, in images, >= 0.
        floor: share of the mean variance that is added to every variance, > 0: no direction is free of noise, and one
            that normal images hardly ever take must not decide alone.

    Raises:
        ValueError: `prior` is negative, or `floor` not positive.
    """

    learns = True
    of_any_size = ("mean", "whitening")
    mean: Tensor
    whitening: Tensor

    def __init__(self, per_position: bool = True, full: bool = True, prior: float = 50.0, floor: float = 1e-3) -> None:
        super().__init__()
        if prior < 0:
            raise ValueError(f"`prior` must not be negative, got {prior}.")
        if floor <= 0:
            raise ValueError(f"`floor` must be positive, got {floor}.")
        self.per_position, self.full, self.prior, self.floor = per_position, full, prior, floor
        self.register_buffer("mean", torch.empty(0))  # (D, P, C) with P positions, or one
        self.register_buffer("whitening", torch.empty(0))  # (D, P, C, C)

    @property
    def by_position(self) -> bool:
        """Unless it is turned off."""
        return self.per_position

    def moments(
        self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int] = ()
    ) -> Scatter:
        """Number, mean and scatter of the differences at each position, or at all of them together."""
        rows = _rows(reference[:, None] - reconstruction)  # (D, P, B, C)
        known = inside(valid, reconstruction.shape[-2:]).T[:, :, None].to(rows)  # (P, B, 1)
        if not self.per_position:
            rows, known = rows.flatten(1, 2)[:, None], known.flatten(0, 1)[None]
        return Scatter.of(rows, known)

    def fit(self, moments: Scatter) -> None:
        """Set the statistics from summed `moments`.

        Raises:
            ValueError: there are fewer than two images.
        """
        overall = moments.overall()
        if overall.count < 2:
            raise ValueError("No normal image to learn differences from.")
        depths, positions, channels = moments.mean.shape
        self.mean = self.mean.new_empty(depths, positions, channels)
        self.whitening = self.whitening.new_empty(depths, positions, channels, channels)
        together = zip(*(whole.split(_TOGETHER, dim=1) for whole in (self.mean, self.whitening)), strict=True)
        for part, (mean, whitening) in zip(moments.parts(_TOGETHER), together, strict=True):
            fitted = self._fitted(part.double(), overall)
            mean.copy_(fitted[0])
            whitening.copy_(fitted[1])

    def _fitted(self, moments: Scatter, overall: Scatter) -> tuple[Tensor, Tensor]:
        """Mean and whitening of some positions, given the moments of all of them together."""
        prior = torch.where(moments.count + self.prior > 0, self.prior, 1.0)  # images, (P, 1)
        total = moments.count + prior
        away = overall.mean - moments.mean
        mean = moments.mean + away * prior / total
        mixed = moments.covered() + (prior / overall.count)[..., None] * overall.covered()
        away = away * (moments.count * prior / total).sqrt()
        covariance = (mixed + away[..., :, None] * away[..., None, :]) / total[..., None]
        if not self.full:
            covariance = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
        root = self.inverse_root(covariance, moments.count[..., None])
        return mean.float(), root.float()

    def inverse_root(self, covariance: Tensor, count: Tensor) -> Tensor:
        """W, with |W (r - mean)|^2 / C the squared distance, of covariances (D, P, C, C) of so many images."""
        least = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12) * self.floor
        return _inverse_root(covariance, least[..., None, None])

    def forward(self, image: Encoded, reconstruction: Encoded) -> Maps:
        """Distances of one reconstruction; as `maps`."""
        return self.maps(image, reconstruction[:, None])

    def maps(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """Distances of each depth.

        Raises:
            RuntimeError: nothing has been learnt.
            ValueError: there are other positions than those learnt.
        """
        rows = _rows(reference[:, None] - reconstruction)
        self._check(rows)
        white = (rows - self.mean[:, :, None]) @ self.whitening.transpose(-1, -2)  # (D, P, B, C)
        distance: Tensor = white.square().mean(-1).sqrt()
        maps: Tensor = distance.permute(2, 0, 1).unflatten(2, reconstruction.shape[-2:])
        return maps

    def _check(self, rows: Tensor) -> None:
        if self.mean.numel() == 0:
            raise RuntimeError("The residual has learnt nothing yet. Validate the detector once.")
        depths, positions = self.mean.shape[:2]
        if rows.shape[0] != depths or positions not in (1, rows.shape[1]):
            raise ValueError(
                f"Statistics are known for {depths} depths and {positions} positions, got {rows.shape[0]} and "
                f"{rows.shape[1]}. Keep `image_size`, or one `tiles.frame`, and the depths, or validate the detector "
                "again."
            )


class PositionGaussian(MahalanobisResidual):
    r"""Distance of features from the mean of their position, as PaDiM takes it.

    d = sqrt((x - mean)' (S + ridge * I)^-1 (x - mean)),   S = sum (x - mean) (x - mean)' / (n - 1)

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, Eq. 1 and 2, with epsilon 0.01.

    Differs from the paper: nothing, of features; positions in the padding of a letterbox, which theirs does not know,
    do not count.

    Args:
        ridge: what is added to the variance of each channel, > 0, in the unit of features.

    Raises:
        ValueError: `ridge` is not positive.
    """

    def __init__(self, ridge: float = 0.01) -> None:
        if not ridge > 0:
            raise ValueError(f"`ridge` must be positive, got {ridge}.")
        super().__init__(prior=0.0)
        self.ridge = ridge

    def inverse_root(self, covariance: Tensor, count: Tensor) -> Tensor:
        """W, with |W (x - mean)|^2 / C the squared distance, of covariances (D, P, C, C) of so many images."""
        unbiased = covariance * torch.where(count > 1, count / (count - 1), 1.0)
        ridge = torch.full_like(covariance[..., :1, :1], self.ridge)
        root: Tensor = covariance.shape[-1] ** 0.5 * _inverse_root(unbiased, ridge)
        return root


def _products(rows: Float[Tensor, "D P B C"], known: Sequence[Tensor]) -> Float[Tensor, "D P C C"]:
    """Sums of rows' outer products, and what is known of them."""
    flat, shape = rows.flatten(0, 1), (*rows.shape[:2], rows.shape[-1], rows.shape[-1])
    if not known:
        return (flat.transpose(1, 2) @ flat).view(shape)
    first, *others = (one.flatten(0, 1) for one in known)
    return sum(others, torch.baddbmm(first, flat.transpose(1, 2), flat)).view(shape)


def _rows(difference: Float[Tensor, "B D C h w"]) -> Float[Tensor, "D P B C"]:
    return difference.flatten(3).permute(1, 3, 0, 2)


def _inverse_root(covariance: Tensor, ridge: Tensor) -> Tensor:
    """A matrix W with W (S + ridge) W' = 1."""
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    root = torch.linalg.cholesky(covariance + ridge * identity)
    inverse: Tensor = torch.linalg.solve_triangular(root, identity.expand_as(root), upper=False)
    return inverse
