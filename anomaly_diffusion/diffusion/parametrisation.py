"""What a network predicts, and the only conversions between the choices.

Every target is a * x_0 + b * noise. Together with x_t = alpha_t * x_0 + sigma_t * noise this is a 2x2 system:

    det   = alpha_t * b - sigma_t * a
    x_0   = (b * x_t - sigma_t * output) / det
    noise = (alpha_t * output - a * x_t) / det

A squared error of the output is (det / sigma_t)^2 times the squared error of the image it implies.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Estimate, Images, like

__all__ = ["FlowPrediction", "ImagePrediction", "NoisePrediction", "Parametrisation", "VelocityPrediction"]


class Parametrisation(Configured, ABC):
    """A prediction target a * x_0 + b * noise."""

    @abstractmethod
    def coefficients(self, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (a, b), each shaped like `alpha_t`."""

    def target(self, x_0: Images, noise: Images, alpha_t: Tensor, sigma_t: Tensor) -> Images:
        """What the network should output."""
        a, b = self.coefficients(alpha_t, sigma_t)
        return like(a, x_0) * x_0 + like(b, x_0) * noise

    def estimate(self, output: Images, x_t: Images, alpha_t: Tensor, sigma_t: Tensor) -> Estimate:
        """The clean image and the noise that an output implies."""
        a, b = self.coefficients(alpha_t, sigma_t)
        det = alpha_t * b - sigma_t * a
        x_0 = like(b / det, x_t) * x_t - like(sigma_t / det, x_t) * output
        noise = like(alpha_t / det, x_t) * output - like(a / det, x_t) * x_t
        return Estimate(x_0, noise)

    def gain(self, alpha_t: Tensor, sigma_t: Tensor) -> Tensor:
        """Squared error of the output per squared error of the image, (det / sigma_t)^2."""
        a, b = self.coefficients(alpha_t, sigma_t)
        return ((alpha_t * b - sigma_t * a) / sigma_t) ** 2


class NoisePrediction(Parametrisation):
    """The network predicts the noise.

    Reference: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, Eq. 14.

    Differs from the paper: nothing.
    """

    def coefficients(self, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (0, 1)."""
        return torch.zeros_like(alpha_t), torch.ones_like(alpha_t)


class ImagePrediction(Parametrisation):
    """The network predicts the clean image x_0."""

    def coefficients(self, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (1, 0)."""
        return torch.ones_like(alpha_t), torch.zeros_like(alpha_t)


class VelocityPrediction(Parametrisation):
    """The network predicts v = alpha_t * noise - sigma_t * x_0.

    Reference: Salimans & Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", 2022, section 4.

    Differs from the paper: nothing.
    """

    def coefficients(self, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (-sigma_t, alpha_t)."""
        return -sigma_t, alpha_t


class FlowPrediction(Parametrisation):
    """The network predicts the flow velocity noise - x_0.

    Reference: Lipman et al., "Flow Matching for Generative Modeling", 2023; Liu et al., "Flow Straight and Fast", 2023.

    Differs from the paper: time runs from image to noise, theirs from noise to image; it is the velocity of straight
    lines, but images and noise may be mixed by any schedule.
    """

    def coefficients(self, alpha_t: Tensor, sigma_t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (-1, 1)."""
        return -torch.ones_like(alpha_t), torch.ones_like(alpha_t)
