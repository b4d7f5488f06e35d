"""Residuals between image and reconstruction: maps >= 0, zero where the two agree, larger is worse."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

from anomaly_diffusion.scoring.smoothing import GaussianSmoothing
from anomaly_diffusion.scoring.strips import by_strips
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Encoded, Images, Levels, Maps, Masks, PerImage

__all__ = [
    "ActivationReader",
    "Answers",
    "GradientSimilarityResidual",
    "L1Residual",
    "L2Residual",
    "Learner",
    "Question",
    "Reading",
    "Residual",
    "SSIMResidual",
    "answered",
    "each",
    "read",
    "reading_once",
]

_READ: ContextVar["WeakTensorKeyDictionary | None"] = ContextVar("read", default=None)

ActivationReader = Callable[[Encoded, float], Levels]
"""From what a codec compares, and a depth, to the denoiser's levels; the last is the energy of its noise estimate."""


class Reading(NamedTuple):
    """An evaluation of the denoiser without noise, for its activations.

    Attributes:
        depth: that it is told.
        of_reconstruction: whether of each reconstruction, or of the image.
    """

    depth: float
    of_reconstruction: bool


class Question(NamedTuple):
    """What a network is asked about images, of which it must not see more than a tile at once.

    Attributes:
        ask: from what a codec compares, and how to read a denoiser, to a grid over the image.
        of_reconstruction: whether it is asked of each reconstruction, too.
    """

    ask: Callable[[Encoded, ActivationReader | None], Tensor]
    of_reconstruction: bool = False


@dataclass(frozen=True)
class Answers(PerImage):
    """What was answered, of tiles as of the photograph on whose grid they are put together.

    Attributes:
        of_image: to each question.
        of_reconstruction: to each that is asked of reconstructions, one for each depth.
    """

    of_image: tuple[Float[Tensor, "B _ _ _"], ...]
    of_reconstruction: tuple[Float[Tensor, "B D _ _ _"], ...]

    @classmethod
    def to(
        cls,
        questions: Sequence[Question],
        reference: Encoded,
        reconstruction: Float[Tensor, "B D c h w"],
        reader: ActivationReader | None,
    ) -> "Answers":
        """Those to some questions."""
        with reading_once():
            of_image = tuple(question.ask(reference, reader) for question in questions)
            again = [question for question in questions if question.of_reconstruction]
            rebuilt = (torch.stack([one.ask(part, reader) for part in each(reconstruction)], dim=1) for one in again)
            return cls(of_image, tuple(rebuilt))

    def tell(
        self, questions: Sequence[Question], reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]
    ) -> None:
        """Let `answered` know them for as long as the `reading_once` lasts that one is in."""
        known = _READ.get()
        if known is None:
            raise RuntimeError("Nothing is kept outside of `reading_once`.")
        for question, answer in zip(questions, self.of_image, strict=True):
            known.setdefault(reference, {})[question.ask] = answer
        again = (question for question in questions if question.of_reconstruction)
        for question, answers in zip(again, self.of_reconstruction, strict=True):
            for part, answer in zip(each(reconstruction), answers.unbind(1), strict=True):
                known.setdefault(part, {})[question.ask] = answer


def answered(question: Question, x_0: Encoded) -> Float[Tensor, "B _ _ _"]:
    """The answer about images, where it has been told within the same `reading_once`; else they are asked about now."""
    known = _READ.get()
    told: Tensor | None = None if known is None else known.get(x_0, {}).get(question.ask)
    return question.ask(x_0, None) if told is None else told


@contextmanager
def reading_once() -> Iterator[None]:
    """While it lasts, in this thread, what several residuals ask of a denoiser about the same tensor is asked once."""
    token = _READ.set(WeakTensorKeyDictionary())
    try:
        yield
    finally:
        _READ.reset(token)


def read(reader: ActivationReader, x_0: Encoded, depth: float) -> Levels:
    """The levels that a reader gives, or has given within the same `reading_once`."""
    known = _READ.get()
    if known is None:
        return reader(x_0, depth)
    of_tensor = known.setdefault(x_0, {})
    if depth not in of_tensor:
        of_tensor[depth] = reader(x_0, depth)
    levels: Levels = of_tensor[depth]
    return levels


def each(reconstruction: Float[Tensor, "B D c h w"]) -> tuple[Encoded, ...]:
    """The reconstruction of each depth: the same tensors within the same `reading_once`, so that they are read once."""
    known = _READ.get()
    if known is None:
        return reconstruction.unbind(1)
    parts: tuple[Encoded, ...] = known.setdefault(reconstruction, {}).setdefault("each", reconstruction.unbind(1))
    return parts


class Learner(nn.Module):
    """What must be shown normal images before it can measure."""

    reads_reconstruction: bool = True
    """Whether it wants to see their reconstructions as well; there are none, D = 0, where no learner asks for them."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """What it asks networks about images; most ask nothing."""
        return ()

    def moments(
        self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int]
    ) -> Any:
        """What it wants to know about normal images; it adds up over batches.

        Args:
            reference: what perfect reconstructions would be.
            reconstruction: reconstructions, one per depth.
            valid: pixels that belong to the photographs.
            keys: a number for each image that names it for good: whatever is drawn at random depends on it alone.
        """
        raise NotImplementedError

    def fit(self, moments: Any) -> None:
        """Learn from summed `moments`."""
        raise NotImplementedError


class Residual(Configured, Learner, ABC):
    """Compares an image with a reconstruction, position by position."""

    most: ClassVar[dict[str, float]] = {"sigma": 1000, "scale": 64, "scales": 16}

    learns: ClassVar[bool] = False
    """Whether it must be shown normal images before it can measure."""

    @abstractmethod
    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map >= 0; both images have pixels in [-1, 1], or whatever else a codec compares."""

    def maps(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """Map of each depth."""
        return torch.cat([self(reference, one) for one in reconstruction.unbind(1)], dim=1)

    @property
    def lessons(self) -> list[Learner]:
        """What must learn, one after the other: each sees all images once, knowing what those before it have learnt."""
        return [self] if self.learns else []

    @property
    def by_position(self) -> bool:
        """Whether it knows statistics of each position, hence images of one size only; most residuals do not."""
        return False

    @property
    def reads(self) -> frozenset["Reading"]:
        """Which activations of the detector's denoiser it asks for; most residuals ask for none."""
        return frozenset()

    def attach(self, reader: ActivationReader | None) -> None:
        """Be told how to read the detector's denoiser, None where it has none; most residuals have no need of it."""


class L1Residual(Residual):
    """Absolute difference, averaged over channels."""

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 2]."""
        return by_strips(lambda x, y: (x - y).abs().mean(1, keepdim=True), 0, image, reconstruction)


class L2Residual(Residual):
    """Squared difference, averaged over channels."""

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 4]."""
        return by_strips(lambda x, y: (x - y).square().mean(1, keepdim=True), 0, image, reconstruction)


class SSIMResidual(Residual):
    """One minus structural similarity, halved: blind to small shifts of brightness, sensitive to structure.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, Eq. 13.

    Differs from the paper: it is a map, never averaged over the image, of one minus the index, halved; channels are
    compared one by one and averaged; borders repeat the last pixel; the Gaussian window is cut at three sigma, so that
    it has the paper's 11 pixels at 1.5.

    Args:
        sigma: width of the Gaussian window, in pixels, > 0.
    """

    def __init__(self, sigma: float = 1.5) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"`sigma` must be positive, got {sigma}.")
        self.window = GaussianSmoothing(sigma)

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 1]."""
        return by_strips(self._dissimilarity, self.window.radius, image, reconstruction)

    def _dissimilarity(self, image: Images, reconstruction: Images) -> Maps:
        x, y = image.clamp(-1, 1), reconstruction.clamp(-1, 1)
        # of the difference itself, whose moments keep their digits where the images nearly agree:
        # var_x + var_y - 2 cov = var(x - y), and mean_x^2 + mean_y^2 - 2 mean_x mean_y = (mean of x - y)^2
        difference = x - y
        smoothed: Tensor = self.window(torch.cat([x, difference, x * x, y * y, difference * difference]))
        mean_x, mean_of, square_x, square_y, square_of = smoothed.unflatten(0, (5, x.shape[0])).unbind()
        mean_y = mean_x - mean_of
        c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # constants of the paper for a range of 2
        variances = (square_x - mean_x * mean_x) + (square_y - mean_y * mean_y)
        light_x, light_y = mean_x + 1, mean_y + 1  # luminance is a ratio: it needs black at zero
        luminance = mean_of * mean_of / (light_x * light_x + light_y * light_y + c1)  # one minus it, as is structure
        structure = (square_of - mean_of * mean_of).clamp(min=0) / (variances + c2)
        dissimilarity: Tensor = ((luminance + structure - luminance * structure) / 2).clamp(0, 1)
        return dissimilarity.mean(1, keepdim=True)


class GradientSimilarityResidual(Residual):
    """One minus the similarity of gradient magnitudes, averaged over scales.

    References: Xue et al., "Gradient Magnitude Similarity Deviation", 2014, Eq. 4; scales as in Zavrtanik et al.,
    "Reconstruction by Inpainting for Visual Anomaly Detection" (RIAD), 2021, section 3.2.

    Differs from the paper: there are three scales if nothing else is said, RIAD's are four, `scales: 4`; borders repeat
    the last pixel, theirs are zero; the constant, 0.01 for pixels in [-1, 1], is 0.0026 in [0, 1], Xue's, but for 4 %;
    channels are averaged to grey; odd sides are rounded up on the way to the next scale; the map is not blurred by a
    mean of 21 x 21 pixels.

    Args:
        scales: number of scales, each half the size of the one before, >= 1.
        stability: constant that keeps flat regions from dividing zero by zero, > 0.
    """

    def __init__(self, scales: int = 3, stability: float = 0.01) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"`scales` must be at least 1, got {scales}.")
        if stability <= 0:
            raise ValueError(f"`stability` must be positive, got {stability}.")
        self.scales, self.stability = scales, stability

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 1]."""
        size = image.shape[-2:]
        x, y = image.mean(1, keepdim=True), reconstruction.mean(1, keepdim=True)
        total = torch.zeros_like(x)
        for scale in range(self.scales):
            of_scale = by_strips(self._dissimilarity, 1, x, y)
            if scale:
                of_scale = F.interpolate(of_scale, size=size, mode="bilinear", align_corners=False)
            total += of_scale
            if scale + 1 < self.scales:
                x, y = (F.avg_pool2d(level, 2, ceil_mode=True) for level in (x, y))
        return total / self.scales

    def _dissimilarity(self, x: Maps, y: Maps) -> Maps:
        x_edge, y_edge = _gradient_magnitude(x), _gradient_magnitude(y)
        shared = (2 * x_edge * y_edge + self.stability) / (x_edge**2 + y_edge**2 + self.stability)
        return (1 - shared).clamp(min=0)


def _gradient_magnitude(x: Maps) -> Tensor:
    """Prewitt gradient magnitude."""
    row = x.new_tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -1.0, -1.0]]) / 3
    kernels = torch.stack([row, row.T])[:, None]
    gradients = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels)
    return gradients.square().sum(1, keepdim=True).add(1e-12).sqrt()
