"""Training objective: which depths are drawn, and how errors at each are weighted."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.diffusion.schedule import Schedule
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Scores, Times, like

__all__ = ["ImageWeighting", "MinSNR", "Objective", "TargetWeighting", "UniformTimes", "Weighting"]


class Weighting(Configured, ABC):
    """How much a squared error of the clean image counts at each depth; every published weighting is one formula."""

    @abstractmethod
    def __call__(self, depth: Tensor, gain: Tensor) -> Tensor:
        """Weight of the image-space error.

        Args:
            depth: sigma_t / alpha_t, (B,).
            gain: squared error of the network's output per squared error of the image, (B,).
        """


class TargetWeighting(Weighting):
    """Plain mean squared error of whatever the network predicts."""

    def __call__(self, depth: Tensor, gain: Tensor) -> Tensor:
        """The gain itself."""
        return gain


class ImageWeighting(Weighting):
    """Plain mean squared error of the clean image."""

    def __call__(self, depth: Tensor, gain: Tensor) -> Tensor:
        """One at every depth."""
        return torch.ones_like(depth)


class MinSNR(Weighting):
    """min(SNR, gamma) with SNR = 1 / depth^2, so that nearly clean images do not dominate.

    Reference: Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023, Eq. 8.

    Differs from the paper: nothing of the weight; depths are drawn as `Objective` says, theirs with times of a chain.

    Args:
        gamma: largest weight, > 0.
    """

    infinite = frozenset({"gamma"})

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise ValueError(f"`gamma` must be positive, got {gamma}.")
        self.gamma = gamma

    def __call__(self, depth: Tensor, gain: Tensor) -> Tensor:
        """min(1 / depth^2, gamma)."""
        return (1 / depth.square()).clamp(max=self.gamma)


class Objective(Configured):
    """Weighted squared error at depths drawn log-uniformly from a band, the only band that reconstruction will use.

    loss = weight(depth) * |x_0_hat - x_0|^2 = weight(depth) / gain * |output - target|^2

    Args:
        shallowest: lower end of the band of depths, > 0.
        deepest: upper end of the band of depths.
        weighting: weight of each depth.
    """

    def __init__(self, shallowest: float = 0.05, deepest: float = 3.5, weighting: Weighting | None = None) -> None:
        if not 0 < shallowest < deepest:
            raise ValueError(
                f"`shallowest` and `deepest` must satisfy 0 < shallowest < deepest, got {shallowest} and {deepest}."
            )
        self.shallowest, self.deepest = shallowest, deepest
        self.weighting = weighting or TargetWeighting()

    def depths(self, count: int, device: torch.device, generator: Generator | None = None) -> Times:
        """Depths (count,), stratified over the band so that every batch sees all of it."""
        low, high = math.log(self.shallowest), math.log(self.deepest)
        return (low + (high - low) * stratified(count, device, generator)).exp()

    def times(self, schedule: Schedule, count: int, device: torch.device, generator: Generator | None = None) -> Times:
        """Times (count,) of the depths that are drawn."""
        return schedule.time(self.depths(count, device, generator))

    def __call__(
        self, denoiser: Denoiser, noise_source: NoiseSource, x_0: Images, generator: Generator | None = None
    ) -> Scores:
        """Loss of each image, (B,)."""
        t = self.times(denoiser.schedule, len(x_0), x_0.device, generator)
        alpha_t, sigma_t = denoiser.schedule(t)
        noise = noise_source(x_0, generator)
        output: Images = denoiser.backbone(like(alpha_t, x_0) * x_0 + like(sigma_t, x_0) * noise, t)
        target = denoiser.parametrisation.target(x_0, noise, alpha_t, sigma_t)
        gain = denoiser.parametrisation.gain(alpha_t, sigma_t)
        return self.weighting(sigma_t / alpha_t, gain) / gain * (output - target).square().flatten(1).mean(1)


class UniformTimes(Objective):
    """Times drawn uniformly from those of the band, as papers do, so that the schedule decides which depths count.

    Reference: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, Algorithm 1 and Eq. 14 (with the noise as
    target and `TargetWeighting`).

    Differs from the paper: times are stratified over a batch and lie between states of the chain too.

    Args:
        shallowest: lower end of the band of depths, > 0.
        deepest: upper end of the band of depths.
        weighting: weight of each depth.
    """

    def times(self, schedule: Schedule, count: int, device: torch.device, generator: Generator | None = None) -> Times:
        """Times (count,), stratified over those of the band."""
        first, last = (schedule.time(torch.tensor(depth, device=device)) for depth in (self.shallowest, self.deepest))
        return first + (last - first) * stratified(count, device, generator)


def stratified(count: int, device: torch.device, generator: Generator | None = None) -> Times:
    """Places (count,) in [0, 1), one in each of `count` equal parts."""
    offset = torch.rand(1, device=device, generator=generator)
    return (offset + torch.arange(count, device=device) / count) % 1
