"""Residual of activations: what the levels of the trained denoiser make of an image, compared with normal ones."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.networks.components import principal_components, products
from anomaly_diffusion.networks.in_parts import one_by_one
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.residual import (
    ActivationReader,
    L1Residual,
    L2Residual,
    Learner,
    Question,
    Reading,
    Residual,
    answered,
    each,
    read,
)
from anomaly_diffusion.types import Encoded, Images, Levels, Maps, Masks, inside

__all__ = ["ActivationComponents", "ActivationResidual"]

_JUDGES = (MahalanobisResidual, NearestResidual, L1Residual, L2Residual)


class ActivationComponents(Learner, AnySize):
    """Whitened principal components of the activations of a denoiser on a grid, several depths side by side.

    Args:
        depths: sigma_t / alpha_t that the denoiser is told, > 0.
        components: how many are kept at most, at least 1.
        stride: side of a cell of the grid, in positions of model space: pixels, for pixel diffusion.
        levels: numbers of the levels, on the way down, then on the way up; None: all.

    Raises:
        ValueError: a number lies outside its range.
    """

    of_any_size = ("mean", "projection")
    reads_reconstruction = False
    mean: Tensor
    projection: Tensor

    def __init__(
        self, depths: Sequence[float], components: int, stride: int, levels: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        if not depths or min(depths) <= 0:
            raise ValueError(f"`depths` must name at least one, each > 0, got {list(depths)}.")
        for name, value in (("components", components), ("stride", stride)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        self.depths, self.components, self.stride, self.levels = tuple(depths), components, stride, levels
        self.reader: ActivationReader | None = None
        self.register_buffer("mean", torch.empty(0))  # (C,)
        self.register_buffer("projection", torch.empty(0))  # (components, C)

    def check(self, levels: int, deepest: float) -> None:
        """Make sure that a denoiser with so many levels and so deep a schedule can be read.

        Raises:
            ValueError: it cannot.
        """
        if self.levels is not None and not set(self.levels) <= set(range(levels)):
            raise ValueError(f"`levels` must lie in 0 to {levels - 1}, those of the backbone, got {list(self.levels)}.")
        if max(self.depths) > deepest:
            raise ValueError(
                f"`depths` of the activations must be at most {deepest:.3g}, where the schedule ends, "
                f"got {max(self.depths)}."
            )

    @property
    def questions(self) -> tuple[Question, ...]:
        """The activations themselves."""
        return (Question(self.activations),)

    def moments(self, reference: Encoded, reconstruction: Tensor, valid: Masks, keys: Sequence[int]) -> Tensor:
        """Sums of products of (1, activations) over valid positions."""
        activations = answered(self.questions[0], reference)
        known = inside(valid, activations.shape[-2:]).flatten()
        return products(activations.transpose(0, 1).flatten(1)[:, known])

    def fit(self, moments: Tensor) -> None:
        """Find the components from summed `moments`: fewer where there are fewer channels or positions.

        Raises:
            ValueError: there is but one position.
        """
        positions = int(moments[0, 0])
        if positions < 2:
            raise ValueError("Activations need more than one position to learn from. Take larger frames.")
        found = principal_components(moments, min(self.components, len(moments) - 1, positions - 1))
        self.mean, self.projection = found.mean.float(), found.projection.float()

    def activations(self, reference: Encoded, reader: ActivationReader | None = None) -> Float[Tensor, "B C _ _"]:
        """Activations of every depth and level averaged over each cell, and the logarithm of the noise's energy.

        Args:
            reference: images.
            reader: of the denoiser, where it is told more than images; None: the one that is attached.
        """
        size = [-(-side // self.stride) for side in reference.shape[-2:]]
        found: list[Tensor] = []
        for depth in self.depths:
            *levels, energy = self._read(reference, depth, reader)
            chosen = levels if self.levels is None else [levels[number] for number in self.levels]
            found += [_on_grid(level, size) for level in chosen]
            found.append(_on_grid(energy, size).clamp(min=1e-12).log())
        return torch.cat(found, dim=1)

    def forward(self, reference: Encoded, reader: ActivationReader | None = None) -> Float[Tensor, "B components _ _"]:
        """Components of the activations of images; arguments as of `activations`.

        Raises:
            RuntimeError: nothing has been learnt.
        """
        if not self.mean.numel():
            raise RuntimeError("The residual has learnt nothing yet. Validate the detector once.")
        centred = self.activations(reference, reader) - self.mean[:, None, None]
        # `clone`, as a product may round by its place in memory too
        components = one_by_one(lambda image: self.projection @ image.flatten(-2).clone(), centred)
        placed: Tensor = components.unflatten(2, centred.shape[-2:])
        return placed

    def _read(self, reference: Encoded, depth: float, reader: ActivationReader | None) -> Levels:
        reader = reader or self.reader
        if reader is None:
            raise RuntimeError("No denoiser is attached: `Scoring.attach` tells whose activations are meant.")
        return read(reader, reference, depth)


class ActivationResidual(Residual):
    """How unlike normal images the denoiser's own activations are: the representation that training has brought.

    The outputs of its levels for the noise-free input x_t = alpha_t * x_0, and the logarithm of the energy of its noise
    estimate, are averaged over the cells of a grid, whitened on normal training images, and judged as features are.

    Reference: Baranchuk et al., "Label-Efficient Semantic Segmentation with Diffusion Models", 2022, which reads such
    activations of noised images for segmentation.

    Differs from the paper: no noise is added; all levels are read, theirs a few blocks of the decoder; components are
    compared with those of normal images, theirs classified by labels.

    Args:
        judge: the residual that compares components: by statistics of each position, by the nearest remembered, or by
            their length alone; by position if not given.
        depths: sigma_t / alpha_t that the denoiser is told, > 0, side by side; an evaluation each.
        components: number of principal components, at least 1; fewer where there are fewer channels or positions.
        stride: side of a cell of the grid, in positions of model space: pixels, for pixel diffusion.
        levels: numbers of the levels, on the way down, then on the way up; None: all.
        of_reconstruction: whether the components of reconstructions are taken away, an evaluation more for each.

    Raises:
        ValueError: a number lies outside its range, or the judge cannot compare components.
    """

    learns = True

    def __init__(
        self,
        judge: Residual | None = None,
        depths: Sequence[float] = (0.1,),
        components: int = 64,
        stride: int = 8,
        levels: Sequence[int] | None = None,
        of_reconstruction: bool = False,
    ) -> None:
        super().__init__()
        self.judge = judge or MahalanobisResidual()
        if not isinstance(self.judge, _JUDGES):
            names = ", ".join(one.__name__ for one in _JUDGES)
            raise ValueError(f"`judge` must compare components, as {names} do, got {type(self.judge).__name__}.")
        self.components = ActivationComponents(depths, components, stride, levels)
        self.reads_reconstruction = self.of_reconstruction = of_reconstruction

    @property
    def lessons(self) -> list[Learner]:
        """The components first, then what normal ones are like, where the judge wants to know."""
        return [self.components, *([self] if self.judge.learns else [])]

    @property
    def by_position(self) -> bool:
        """As the judge."""
        return self.judge.by_position

    @property
    def reads(self) -> frozenset[Reading]:
        """Each depth, of the image and, where they are looked at, of its reconstructions."""
        subjects = {False, self.of_reconstruction}
        return frozenset(Reading(depth, subject) for depth in self.components.depths for subject in subjects)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The components of the activations, and, where they are looked at, those of reconstructions."""
        return (Question(self.components.forward, self.of_reconstruction),)

    def attach(self, reader: ActivationReader | None) -> None:
        """Tell whose activations are meant.

        Raises:
            ValueError: nobody's, as the detector has no denoiser.
        """
        if reader is None:
            raise ValueError(
                "`ActivationResidual` reads a denoiser: take a detector that diffuses, or another residual."
            )
        self.components.reader = reader

    def moments(
        self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int]
    ) -> Any:
        """What the judge wants to know about components of normal images."""
        return self.judge.moments(*self._compared(reference, reconstruction), valid, keys)

    def fit(self, moments: Any) -> None:
        """Let the judge learn from summed `moments`."""
        self.judge.fit(moments)

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map of one reconstruction."""
        return self.maps(image, reconstruction[:, None])

    def maps(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """Map of each depth of reconstruction, which are the same unless reconstructions are looked at."""
        coarse = self.judge.maps(*self._compared(reference, reconstruction))
        (height, width), stride = reference.shape[-2:], self.components.stride
        size = [stride * side for side in coarse.shape[-2:]]
        fine = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[..., :height, :width]
        return fine.expand(-1, reconstruction.shape[1], -1, -1)

    def _compared(self, reference: Encoded, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
        """Components (B, C, h, w) of images, and (B, D, C, h, w) what is taken away from them: nothing, D = 1."""
        image = answered(self.questions[0], reference)
        if not self.of_reconstruction:
            return image, torch.zeros_like(image)[:, None]
        return image, torch.stack([answered(self.questions[0], one) for one in each(reconstruction)], dim=1)


def _on_grid(maps: Float[Tensor, "B c _ _"], size: Sequence[int]) -> Float[Tensor, "B c _ _"]:
    """Averaged over cells, or repeated where the level is coarser than the grid."""
    coarser = maps.shape[-1] < size[-1]
    return F.interpolate(maps, size=list(size), mode="nearest" if coarser else "area")
