"""Perceptual residuals: feature cosine and LPIPS between image and reconstruction."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.buffers import freeze, identity
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.networks.lpips import ShiftTolerantLPIPS
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import Images, Maps

__all__ = ["FeatureCosineResidual", "LPIPSResidual"]


class _Perceptual(Residual):
    """Squared distances between the features of image and reconstruction, summed over channels and stages.

    Args:
        network: it is frozen, and no checkpoint holds it.
        scale: how many times images are enlarged before the network sees them, >= 1.
    """

    corners: bool = False
    """Whether the outermost positions of a stage lie on the corners of the image when it is interpolated."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        if scale < 1:
            raise ValueError(f"`scale` must be at least 1, got {scale}.")
        freeze(network)
        self.scale, self.identity = scale, identity(network)
        self._network = network  # private: a description of all its layers is longer than its identity, and says less

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the constructor, and a digest of the network's weights."""
        return {**super().settings, "weights": self.identity["weights"]}

    @abstractmethod
    def features(self, image: Images) -> list[Tensor]:
        """Features (B, C_l, h_l, w_l) of each stage, weighted so that squared distances are what is wanted."""

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map >= 0.

        Raises:
            ValueError: the images are too small for the network, or no pixels.
        """
        return self.maps(image, reconstruction[:, None])

    def maps(self, reference: Images, reconstruction: Float[Tensor, "B D C H W"]) -> Float[Tensor, "B D H W"]:
        """Map of each depth; the network sees the image once for all of them."""
        size, expected = reference.shape[-2:], self.features(self._seen(reference))
        rebuilt = (self.features(self._seen(one)) for one in reconstruction.unbind(1))
        return torch.cat([self._distance(expected, found, size) for found in rebuilt], dim=1)

    def _seen(self, image: Images) -> Float[Tensor, "B 3 h w"]:
        """The image in colour, enlarged."""
        if image.shape[1] not in (1, 3):
            raise ValueError(
                f"{type(self).__name__} compares pixels: `image` must have 1 or 3 channels, got {image.shape[1]}."
            )
        colour = image.expand(-1, 3, -1, -1)
        if self.scale == 1:
            return colour
        return F.interpolate(colour, scale_factor=self.scale, mode="bilinear")

    def _distance(self, expected: list[Tensor], found: list[Tensor], size: Sequence[int]) -> Maps:
        """Squared distances at each position, summed over stages, each interpolated to a height and width."""
        stages = [(x - y).square().sum(1, keepdim=True) for x, y in zip(expected, found, strict=True)]
        large = [
            F.interpolate(stage, size=tuple(size), mode="bilinear", align_corners=self.corners) for stage in stages
        ]
        return torch.stack(large).sum(0)


class FeatureCosineResidual(_Perceptual):
    r"""One minus the cosine between the features of image and reconstruction at each position, averaged over stages.

    residual = mean over stages j of (1 - cos(phi_j(image), phi_j(reconstruction)))

    with phi_j the features of stage j, averaged over neighbours, on the grid of that stage; beyond its border they are
    zero, and with `corners` its outermost positions lie on the corners of the image.

    Reference: Mousakhan et al., "Anomaly Detection with Conditioned Denoising Diffusion Models" (DDAD), 2023, its
    feature-wise distance D_f, and its code.

    Differs from the paper: stages are averaged, not summed, which calibration makes the same; which network and which
    stages is free (theirs are the second and third of a wide ResNet-101, of strides 8 and 16), and it is not fine-tuned
    (see `AdaptedCosineResidual`); images may be enlarged first; it is added to a difference of pixels in standard
    deviations of normal, theirs by the ratio of the maxima over a test batch.

    Args:
        extractor: the frozen network; from here on its weights are in no checkpoint.
        scale: how many times images are enlarged before the network sees them, >= 1; small frames need it, because
            these networks were trained on photographs of 224 pixels.
        corners: whether maps are stretched from corner to corner, as in the paper, or their cells cover the image.

    Raises:
        ValueError: `scale` is less than 1.
    """

    def __init__(self, extractor: FeatureExtractor, scale: int = 1, corners: bool = True) -> None:
        super().__init__(extractor, scale)
        self.corners = corners

    def features(self, image: Images) -> list[Tensor]:
        """Unit vectors, divided by sqrt(2 * stages): |x - y|^2 / 2 = 1 - cos, without its cancellation near zero."""
        grids: list[Tensor] = self._network.own_grids(image)  # type: ignore[operator]
        return [F.normalize(grid, dim=1) / (2 * len(grids)) ** 0.5 for grid in grids]

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 2]; in [0, 1] where no feature is negative."""
        return super().forward(image, reconstruction)


class LPIPSResidual(_Perceptual):
    r"""LPIPS as a map: how different people would find two images, in the variant that tolerates small shifts.

    residual = sum over stages l, each up-sampled, of |sqrt(w_l) * (y_l(image) - y_l(reconstruction))|^2

    with y_l the features of stage l, of unit length at each position; the mean of stage l over its positions is its
    part of the usual distance.

    Reference: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, Eq. 1;
    Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", 2022.

    Differs from the paper: nothing, for AlexNet and its shift-tolerant variant; images may be enlarged first.

    Args:
        weights: a safetensors file, here or below $ANOMALY_DIFFUSION_WEIGHTS; if not given, the file there whose name
            begins with stlpips_alex, else the weights that come with the package stlpips-pytorch.
        scale: how many times images are enlarged before the network sees them, >= 1.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: `scale` is less than 1, or the file holds the weights of another network.
    """

    ignored = frozenset({"weights"})

    def __init__(self, weights: str | None = None, scale: int = 1) -> None:
        super().__init__(ShiftTolerantLPIPS(weights), scale)

    def features(self, image: Images) -> list[Tensor]:
        """Unit vectors, weighted by the square roots of the learnt weights."""
        features: list[Tensor] = self._network(image)
        return features
