"""Guidance towards the image while sampling: x_0_hat + pull * (image - x_0_hat), at every evaluation."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.schedule import Schedule
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Estimate, Images, Maps, Times, like

__all__ = [
    "ConstantPull",
    "DDADPull",
    "GuidedDenoiser",
    "Pull",
    "RegionPull",
    "ResidualPull",
    "as_pull",
    "check_limit",
    "check_quantile",
    "check_radius",
    "clamped",
    "difference",
    "own_quantile",
    "pulled",
]


def pulled(
    estimate: Estimate, towards: Images, pull: Tensor, x_t: Images, alpha_t: Tensor, sigma_t: Tensor
) -> Estimate:
    """x_0_hat + pull * (towards - x_0_hat), and the noise for which x_t = alpha_t * x_0 + sigma_t * noise still holds.

    Args:
        estimate: what the denoiser believes of `x_t`.
        towards: the image, or a better estimate of it.
        pull: 0 keeps the estimate, 1 replaces it; a number () or anything that broadcasts to (B, C, H, W).
        x_t: the noisy images.
        alpha_t: signal scale of `x_t`, () or (B,).
        sigma_t: noise scale of `x_t`, () or (B,).
    """
    x_0 = estimate.x_0 + pull * (towards - estimate.x_0)
    return Estimate(x_0, (x_t - like(alpha_t, x_t) * x_0) / like(sigma_t, x_t))


class Pull(Configured, ABC):
    """How strongly an estimate is drawn to an image: 0 not at all, 1 all the way."""

    most: ClassVar[dict[str, float]] = {"weight": 1000, "radius": 1000}

    @abstractmethod
    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """A number (), or what broadcasts to (B, C, H, W); that of an image depends on no other image."""


class ConstantPull(Pull):
    """The same pull at all times and pixels, whatever schedule and steps.

    Args:
        rho: the pull, in [0, 1].

    Raises:
        ValueError: `rho` lies outside.
    """

    def __init__(self, rho: float) -> None:
        if not 0 <= rho <= 1:
            raise ValueError(f"`rho` must lie in [0, 1], got {rho}. For DDAD's weight there is DDADPull.")
        self.rho = float(rho)

    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """The number rho, ()."""
        return image.new_tensor(self.rho)


class DDADPull(Pull):
    """pull = weight * sigma_t^2: strong at the start of a walk, none at its end; may exceed 1, as in the paper.

    It is the correction noise_hat - weight * sigma_t * (y_t - x_t) of the noise, with the noised image
    y_t = alpha_t * image + sigma_t * noise_hat, written for x_0_hat.

    Reference: Mousakhan et al., "Anomaly Detection with Conditioned Denoising Diffusion Models" (DDAD), 2023, Algorithm
    1, and its code.

    Differs from the paper: nothing.

    Args:
        weight: w >= 0; the authors use 0 to 11, depending on the category.

    Raises:
        ValueError: `weight` is negative.
    """

    def __init__(self, weight: float) -> None:
        if not weight >= 0:
            raise ValueError(f"`weight` must not be negative, got {weight}.")
        self.weight = float(weight)

    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """Pulls (B, 1, 1, 1)."""
        _, sigma_t = schedule(t)
        return like(self.weight * sigma_t**2, image)


class ResidualPull(Pull):
    """Holds on to the image where the estimate agrees with it, and lets go where it differs.

    residual = |image - x_0_hat|, averaged over channels and a window of side 2 * radius + 1
    pull     = max(0, 1 - residual / (tolerance * mean of the image's own residual))

    A difference counts by how it compares with the others in the same image, so that neither contrast nor depth
    changes its meaning.

    Reference: after the spatial-adaptive fusion of Yao et al., "GLAD: Towards Better Reconstruction with Global and
    Local Adaptive Diffusion Models for Unsupervised Anomaly Detection", 2024, and its code.

    Differs from the paper: GLAD's weight of the estimate is the sigmoid of a map of feature distances (DINO, the least
    cosine distance among all patches), so that it lies from 0.5 to 0.88 and never lets go entirely; what it pulls
    towards is not the image but what the noise estimate makes of the image noised as at the start; it does so at one
    step of the walk, the first at which features show a defect, or all the way at the last that is allowed if none
    does, and not at every evaluation.

    Args:
        tolerance: multiple of the mean residual from which nothing holds any more, > 0.
        radius: half side of the window, in pixels of model space, >= 0.

    Raises:
        ValueError: `tolerance` is not positive, or `radius` negative.
    """

    def __init__(self, tolerance: float = 3.0, radius: int = 2) -> None:
        if not tolerance > 0:
            raise ValueError(f"`tolerance` must be positive, got {tolerance}.")
        check_radius(radius)
        self.tolerance, self.radius = float(tolerance), radius

    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """Maps of pulls (B, 1, H, W), each in [0, 1]; all 1 where nothing differs."""
        residual = difference(image, estimate, self.radius)
        own = residual.mean((1, 2, 3), keepdim=True).clamp(min=torch.finfo(residual.dtype).tiny)
        return (1 - residual / own / self.tolerance).clamp(min=0)


class RegionPull(Pull):
    """Holds on to the image but for regions around its largest residuals.

    map    = |image - x_0_hat|, averaged over channels, as a share of the image's own largest
    region = (dilation of the closing of map + map) / 2,    pull = 1 - region

    Closing and dilation take squares of side `size`: what lies around or between large residuals goes with them.

    Reference: Bercea et al., "Diffusion Models with Implicit Guidance for Medical Anomaly Detection" (THOR), 2024,
    and its code.

    Differs from the paper: the map is not multiplied by a perceptual distance (LPIPS of SqueezeNet, smoothed by a
    Gaussian of 2 pixels); its maximum is each image's own, not that of the batch (theirs is of one image, in testing).

    Args:
        size: side of the squares, in pixels of model space, odd; the authors take 13 of 128.

    Raises:
        ValueError: `size` is even, or less than 1.
    """

    def __init__(self, size: int = 13) -> None:
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd, so that a square has a middle, and positive, got {size}.")
        self.size = size

    def __call__(self, t: Times, schedule: Schedule, estimate: Images, image: Images) -> Tensor:
        """Maps of pulls (B, 1, H, W), each in [0, 1]; all 1 where nothing differs."""
        maps = difference(image, estimate, radius=0)
        maps = maps / maps.amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
        closing = -self._dilated(-self._dilated(maps))
        return 1 - (self._dilated(closing) + maps) / 2

    def _dilated(self, maps: Maps) -> Maps:
        return F.max_pool2d(maps, self.size, stride=1, padding=self.size // 2)


class GuidedDenoiser(Denoiser):
    """A denoiser whose estimates are pulled towards an image; every sampler walks with it as with any other.

    Args:
        inner: the denoiser.
        image: what is pulled towards, in model space, one for each image of the batch.
        pull: how strongly.
    """

    def __init__(self, inner: Denoiser, image: Images, pull: Pull) -> None:
        super().__init__(inner.backbone, inner.schedule, inner.parametrisation)
        self.inner, self.image, self.pull = inner, image, pull

    def forward(self, x_t: Images, t: Tensor) -> Estimate:
        """Estimate at time `t`, () or (B,), pulled."""
        t = t.to(x_t).expand(x_t.shape[0])
        estimate = self.inner(x_t, t)
        pull = self.pull(t, self.schedule, estimate.x_0, self.image)
        return pulled(estimate, self.image, pull, x_t, *self.schedule(t))

    def _around(self, backbone: nn.Module) -> Denoiser:
        return GuidedDenoiser(self.inner._around(backbone), self.image, self.pull)


def difference(image: Images, estimate: Images, radius: int) -> Maps:
    """Absolute difference, averaged over channels and over windows of side 2 * radius + 1; borders repeat."""
    maps = (image - estimate).abs().mean(1, keepdim=True)
    padded = F.pad(maps, (radius,) * 4, mode="replicate") if radius else maps
    return F.avg_pool2d(padded, 2 * radius + 1, stride=1)


def own_quantile(maps: Maps, quantile: float) -> Tensor:
    """The value that the share `quantile` of a map's own pixels stays below, (B, 1, 1, 1)."""
    return like(torch.quantile(maps.flatten(1), quantile, dim=1), maps)


def check_quantile(quantile: float) -> None:
    """Refuse a share that leaves nothing, or everything, above it."""
    if not 0 < quantile < 1:
        raise ValueError(f"`quantile` must lie in (0, 1), got {quantile}.")


def check_radius(radius: int, name: str = "radius") -> None:
    """Refuse a window without a middle."""
    if radius < 0:
        raise ValueError(f"`{name}` must not be negative, got {radius}.")


def as_pull(pull: Pull | float) -> Pull:
    """The pull, of which a number in [0, 1] is a constant one.

    Raises:
        ValueError: the number lies outside.
    """
    if isinstance(pull, Pull):
        return pull
    if not 0 <= pull <= 1:
        raise ValueError(f"`pull` must lie in [0, 1], got {pull}. For DDAD's weight there is DDADPull.")
    return ConstantPull(pull)


def clamped(x_0: Images, limit: float | None) -> Images:
    """Clean images cut to [-limit, limit]; as they are where there is no limit."""
    return x_0 if limit is None else x_0.clamp(-limit, limit)


def check_limit(limit: float | None) -> None:
    """Refuse a limit that leaves nothing."""
    if limit is not None and not limit > 0:
        raise ValueError(f"`limit` must be positive, got {limit}: 1 for pixels, null for none.")
