"""Denoiser: a backbone wrapped so that it always answers with estimates of clean image and noise."""

import torch
from torch import Tensor, nn

from anomaly_diffusion.diffusion.parametrisation import Parametrisation
from anomaly_diffusion.diffusion.schedule import Schedule
from anomaly_diffusion.types import Estimate, Images, Levels, Times, like

__all__ = ["Denoiser"]


class Denoiser(nn.Module):
    """Estimates the clean image and the noise in x_t = alpha_t * x_0 + sigma_t * noise.

    Args:
        backbone: network (x_t, t) -> output, both shaped (B, C, H, W), with t (B,) in (0, 1).
        schedule: gives alpha_t and sigma_t.
        parametrisation: what the output of the backbone means.
    """

    def __init__(self, backbone: nn.Module, schedule: Schedule, parametrisation: Parametrisation) -> None:
        super().__init__()
        self.backbone = backbone
        self.schedule = schedule
        self.parametrisation = parametrisation

    def conditioned_on(self, category: Tensor, place: Tensor | None = None) -> "Denoiser":
        """The same denoiser, told what its backbone wants to know of each image.

        Args:
            category: (B,).
            place: (B, 4) in its frame, as of `ImageBatch`; None: all of it.
        """
        known = {"category": category} if getattr(self.backbone, "classes", 0) else {}
        if place is not None and getattr(self.backbone, "coordinates", False):
            known["place"] = place
        return self._around(_Given(self.backbone, known)) if known else self

    def _around(self, backbone: nn.Module) -> "Denoiser":
        return Denoiser(backbone, self.schedule, self.parametrisation)

    def forward(self, x_t: Images, t: Tensor) -> Estimate:
        """Estimate at time `t`, () or (B,), in (0, 1)."""
        t = t.to(x_t).expand(x_t.shape[0])
        output = self.backbone(x_t, t)
        return self.parametrisation.estimate(output, x_t, *self.schedule(t))

    def activations(self, x_0: Images, depth: float) -> tuple[Estimate, Levels]:
        """Estimate from a clean image to which no noise is added, x_t = alpha_t * x_0, and the levels of the backbone.

        Args:
            x_0: in model space.
            depth: sigma_t / alpha_t that the backbone is told, > 0.
        """
        t = self.schedule.time(torch.tensor(depth, dtype=torch.float64)).to(x_0).expand(x_0.shape[0])
        alpha_t, sigma_t = self.schedule(t)
        x_t = like(alpha_t, x_0) * x_0
        output, levels = self.backbone.activations(x_t, t)  # type: ignore[operator]  # of a Backbone
        return self.parametrisation.estimate(output, x_t, alpha_t, sigma_t), levels


class _Given(nn.Module):
    """A conditional backbone with what it wants to know filled in."""

    def __init__(self, backbone: nn.Module, known: dict[str, Tensor]) -> None:
        super().__init__()
        self.backbone, self.known = backbone, known

    def forward(self, x_t: Images, t: Tensor) -> Images:
        output: Images = self.backbone(x_t, t, **self.known)
        return output

    def activations(self, x_t: Images, t: Times) -> tuple[Images, Levels]:
        found: tuple[Images, Levels] = self.backbone.activations(x_t, t, **self.known)  # type: ignore[operator]
        return found
