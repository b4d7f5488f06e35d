"""PaDiM: Gaussians of random channels at each position of normal images."""

from anomaly_diffusion.baselines.gaussian_by_position import GaussianDetector
from anomaly_diffusion.codecs.channels import RandomChannels
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.scoring.mahalanobis import PositionGaussian
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring

__all__ = ["PaDiM"]


class PaDiM(GaussianDetector):
    """A Gaussian of randomly chosen channels at each position; the distance from its mean is the anomaly.

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, section III and Eq. 1 and 2.

    Differs from the paper: features are those of `features`, where the paper takes ResNet18 (100 of 448 channels) or
    Wide ResNet50-2 (550 of 1792), on its finest stage's grid if `features` has that `stride`, no `neighbourhood` and
    `repeat`; frames are seen whole, where its experiments crop 224 of 256 pixels; the smoothing is cut at 3 standard
    deviations and repeats borders, where theirs is cut at 4 and mirrors; maps are in standard deviations of held-out
    normals, where published code scales them by the extremes of the test set, neither of which changes an order.

    Args:
        features: the frozen network.
        channels: number of its channels that are drawn, >= 1.
        seed: of their draw.
        scoring: with a `PositionGaussian`; if not given, smoothed over 4 pixels and pooled by the maximum, as in the
            paper's experiments.

    Raises:
        ValueError: `scoring` has no `PositionGaussian`, or the network has fewer channels.
    """

    def __init__(
        self, features: FeatureExtractor, channels: int = 100, seed: int = 0, scoring: Scoring | None = None
    ) -> None:
        scoring = scoring or Scoring([PositionGaussian()], smoothing=4.0, pooling=MaxPooling())
        super().__init__(RandomChannels(features, channels, seed), scoring)
        if not any(isinstance(residual, PositionGaussian) for residual in self.scoring.learners):
            raise ValueError("`scoring.residuals` must hold a PositionGaussian, which regularises as PaDiM does.")
        self._drawn = channels, seed
