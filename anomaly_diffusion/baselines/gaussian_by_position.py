"""Gaussians of features at each position of normal images."""

from dataclasses import replace

import torch
from torch import Tensor

from anomaly_diffusion.baselines.one_pass import OnePassDetector
from anomaly_diffusion.codecs.feature import FeatureCodec
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded, Encoded, ImageBatch, Images, Reconstructed

__all__ = ["GaussianByPosition", "GaussianDetector"]


class GaussianDetector(OnePassDetector):
    """Features have a Gaussian; the distance from its mean is the anomaly.

    It is a detector that reconstructs nothing: the Mahalanobis residual of features themselves.

    Args:
        codec: the features.
        scoring: with a `MahalanobisResidual`.

    Raises:
        ValueError: `scoring` has no `MahalanobisResidual`.
    """

    def __init__(self, codec: FeatureCodec, scoring: Scoring) -> None:
        super().__init__(codec, scoring)
        self._gaussians()

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """Nothing: zero, the mean of all features over all positions."""
        return Reconstructed(torch.zeros_like(x_0)[:, None], nfe=0)

    def pictures(self, batch: ImageBatch, decoded: Decoded) -> tuple[Images, Tensor]:
        """Features, and beside them their mean at each position."""
        normal = decoded.reconstruction
        size = normal.shape[-2:]
        mean = self._gaussians().mean.transpose(1, 2)  # (1, C, P), with one position for all or each of its own
        mean = mean.expand(-1, -1, size.numel()).unflatten(2, size)
        return super().pictures(batch, replace(decoded, reconstruction=normal + mean))

    def _gaussians(self) -> MahalanobisResidual:
        for residual in self.scoring.learners:
            if isinstance(residual, MahalanobisResidual):
                return residual
        raise ValueError(
            f"`scoring.residuals` must hold a MahalanobisResidual: it is what {type(self).__name__} learns."
        )


class GaussianByPosition(GaussianDetector):
    """Gaussians of principal components at each position, each of them told what features are like elsewhere.

    It comes of `PaDiM`, and few images do it less harm.

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, Eq. 1 and 2.

    Differs from the paper: components are principal instead of random channels, on a coarser grid and averaged over
    neighbours; what `MahalanobisResidual` lists of moments and distances; and what `PaDiM` lists.

    Args:
        features: the frozen network.
        scoring: with a `MahalanobisResidual`; if not given, smoothed over 4 pixels and pooled by the maximum.
        components: number of principal components of the features; None: as many as there are channels.
        normalise_brightness: whether images are brought to the mean brightness of training images.

    Raises:
        ValueError: `scoring` has no `MahalanobisResidual`.
    """

    def __init__(
        self,
        features: FeatureExtractor,
        scoring: Scoring | None = None,
        components: int | None = 64,
        normalise_brightness: bool = False,
    ) -> None:
        scoring = scoring or Scoring([MahalanobisResidual()], smoothing=4.0, pooling=MaxPooling())
        super().__init__(FeatureCodec(features, components, normalise_brightness), scoring)
