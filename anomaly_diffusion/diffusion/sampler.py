"""Samplers of the reverse process, DDIM and Heun: one step from time t to an earlier s, and the loop over steps."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, like

__all__ = ["DDIM", "Heun", "Sampler", "falling_times"]


class Sampler(Configured, ABC):
    """A numerical method for the reverse process."""

    @abstractmethod
    def step(self, denoiser: Denoiser, x_t: Images, t: Tensor, s: Tensor, draw: NoiseDraw) -> Images:
        """Move x_t from time `t` to the earlier time `s`, both () or (B,)."""

    @abstractmethod
    def evaluations(self, steps: int) -> int:
        """Number of network evaluations that `steps` steps down to s = 0 take."""

    def __call__(self, denoiser: Denoiser, x_t: Images, times: Tensor, draw: NoiseDraw) -> Images:
        """Walk x_t from `times[0]` to `times[-1]`, a falling sequence (T + 1,) or (T + 1, B)."""
        for t, s in itertools.pairwise(times):
            x_t = self.step(denoiser, x_t, t, s, draw)
        return x_t


class DDIM(Sampler):
    """x_s = alpha_s * x_0_hat + sqrt(sigma_s^2 - sigma_eta^2) * noise_hat + sigma_eta * fresh noise.

    sigma_eta = eta * sigma_s / sigma_t * sqrt(1 - alpha_t^2 / alpha_s^2)

    Reference: Song et al., "Denoising Diffusion Implicit Models", 2021, Eq. 12 and 16.

    Differs from the paper: nothing.

    Args:
        eta: share of the noise that is drawn afresh, in [0, 1]; 0 is deterministic, 1 is ancestral sampling.
    """

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"`eta` must lie in [0, 1], got {eta}.")
        self.eta = eta

    def step(self, denoiser: Denoiser, x_t: Images, t: Tensor, s: Tensor, draw: NoiseDraw) -> Images:
        """Move x_t from time `t` to the earlier time `s`."""
        alpha_t, sigma_t, alpha_s, sigma_s = _scales(denoiser, x_t, t, s)
        estimate = denoiser(x_t, t)
        sigma_eta = self.eta * sigma_s / sigma_t * (1 - (alpha_t / alpha_s) ** 2).clamp(min=0).sqrt()
        x_s: Images = alpha_s * estimate.x_0 + (sigma_s**2 - sigma_eta**2).clamp(min=0).sqrt() * estimate.noise
        return x_s + sigma_eta * draw(x_t) if self.eta > 0 else x_s

    def evaluations(self, steps: int) -> int:
        """One a step."""
        return steps


class Heun(Sampler):
    """Second order: the slope is averaged between both ends of a step; the last step, down to s = 0, is first order.

    In y = x_t / alpha_t the flow is dy / d depth = noise_hat.

    Reference: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, Algorithm 1.

    Differs from the paper: times are those of the walk, equal strides if nothing else is said; theirs crowd at its end.
    """

    def step(self, denoiser: Denoiser, x_t: Images, t: Tensor, s: Tensor, draw: NoiseDraw) -> Images:
        """Move x_t from time `t` to the earlier time `s`."""
        alpha_t, sigma_t, alpha_s, sigma_s = _scales(denoiser, x_t, t, s)
        y, stride = x_t / alpha_t, sigma_s / alpha_s - sigma_t / alpha_t
        slope: Images = denoiser(x_t, t).noise
        if (s > 0).any():
            ahead = alpha_s * (y + stride * slope)
            slope = torch.where(like(s > 0, x_t), (slope + denoiser(ahead, s).noise) / 2, slope)
        return alpha_s * (y + stride * slope)

    def evaluations(self, steps: int) -> int:
        """Two a step, one for the last."""
        return 2 * steps - 1


def falling_times(start: Tensor, steps: int) -> Tensor:
    """Times (steps + 1,) or (steps + 1, B) from `start`, () or (B,), down to 0 in equal strides."""
    share = torch.linspace(1, 0, steps + 1, device=start.device, dtype=start.dtype)
    return like(share, start.expand(steps + 1, *start.shape)) * start


def _scales(denoiser: Denoiser, x_t: Images, t: Tensor, s: Tensor) -> Iterator[Tensor]:
    """alpha_t, sigma_t, alpha_s, sigma_s, shaped to multiply images."""
    return (like(scale, x_t) for time in (t, s) for scale in denoiser.schedule(time))
