"""Noise schedule (alpha_t, sigma_t): x_t = alpha_t * x_0 + sigma_t * noise, with alpha_t^2 + sigma_t^2 = 1.

Time t runs from 0 (clean) to 1 (noise). Depth = sigma_t / alpha_t is the only measure of "how far" that means the same
under every schedule; users set depths, and t follows.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from anomaly_diffusion.settings import Configured

__all__ = ["CosineSchedule", "LinearBetaSchedule", "ScaledLinearSchedule", "Schedule"]


class Schedule(Configured, ABC):
    """Signal and noise scales as functions of time."""

    @abstractmethod
    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal scale alpha_t and noise scale sigma_t, each shaped like `t`."""

    @abstractmethod
    def time(self, depth: Tensor) -> Tensor:
        """Time at which sigma_t / alpha_t equals `depth`, in (0, 1)."""

    length: float = math.inf
    """Number of states of a chain between clean and noise; a continuous schedule has as many as one likes."""

    def depth(self, t: Tensor) -> Tensor:
        """Noise per signal, sigma_t / alpha_t."""
        alpha_t, sigma_t = self(t)
        return sigma_t / alpha_t


class CosineSchedule(Schedule):
    """alpha_t = cos(pi t / 2), sigma_t = sin(pi t / 2).

    Reference: Nichol & Dhariwal, "Improved Denoising Diffusion Probabilistic Models", 2021, Eq. 17.

    Differs from the paper: there is no offset of 0.008 at the start; time is continuous, theirs a chain of steps whose
    variance is cut at 0.999.
    """

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal scale alpha_t and noise scale sigma_t, each shaped like `t`."""
        angle = t * (torch.pi / 2)
        return angle.cos(), angle.sin()

    def time(self, depth: Tensor) -> Tensor:
        """Time at which sigma_t / alpha_t equals `depth`."""
        return depth.atan() * (2 / torch.pi)


class _BetaSchedule(Schedule):
    """A discrete chain of T noising steps, log-linearly interpolated so that t = i / T is exactly its i-th state."""

    def __init__(self, betas: Tensor) -> None:
        log_signal = torch.log1p(-betas.double()).cumsum(0)
        self.log_signal = torch.cat([log_signal.new_zeros(1), log_signal])  # (T + 1,): log alpha_t^2
        self.length = len(betas)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal scale alpha_t and noise scale sigma_t, each shaped like `t`."""
        table = self.log_signal.to(t.device)
        place = t.double().clamp(0, 1) * (len(table) - 1)
        low = place.long().clamp(max=len(table) - 2)
        log_signal = torch.lerp(table[low], table[low + 1], place - low)
        return (log_signal / 2).exp().to(t.dtype), (-torch.expm1(log_signal)).sqrt().to(t.dtype)

    def time(self, depth: Tensor) -> Tensor:
        """Time at which sigma_t / alpha_t equals `depth`."""
        fall = -self.log_signal.to(depth.device)  # rises from 0
        wanted = torch.log1p(depth.double() ** 2)
        high = torch.searchsorted(fall, wanted).clamp(1, len(fall) - 1)
        place = high - 1 + (wanted - fall[high - 1]) / (fall[high] - fall[high - 1])
        return (place / (len(fall) - 1)).to(depth.dtype)


def _check_betas(first: float, last: float, steps: int) -> None:
    if not 0 < first <= last < 1:
        raise ValueError(f"`first` and `last` must satisfy 0 < first <= last < 1, got {first} and {last}.")
    if steps < 2:
        raise ValueError(f"`steps` must be at least 2, got {steps}.")


def _spaced(first: float, last: float, steps: int, warp: Callable[[float], float]) -> Tensor:
    _check_betas(first, last, steps)
    return torch.linspace(warp(first), warp(last), steps, dtype=torch.float64)


class LinearBetaSchedule(_BetaSchedule):
    """Noise variance per step grows linearly.

    Reference: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, section 4.

    Differs from the paper: nothing, at the states of the chain; times between them are interpolated.

    Args:
        first: variance added by the first step, in (0, 1).
        last: variance added by the last step, in (0, 1).
        steps: length T of the chain.
    """

    def __init__(self, first: float = 1e-4, last: float = 2e-2, steps: int = 1000) -> None:
        super().__init__(_spaced(first, last, steps, lambda beta: beta))


class ScaledLinearSchedule(_BetaSchedule):
    """The square root of the noise variance per step grows linearly; the schedule of Stable Diffusion.

    Reference: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, and its code.

    Differs from the paper: nothing, at the states of the chain; times between them are interpolated.

    Args:
        first: variance added by the first step, in (0, 1).
        last: variance added by the last step, in (0, 1).
        steps: length T of the chain.
    """

    def __init__(self, first: float = 8.5e-4, last: float = 1.2e-2, steps: int = 1000) -> None:
        super().__init__(_spaced(first, last, steps, lambda beta: beta**0.5) ** 2)
