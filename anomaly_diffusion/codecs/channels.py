"""Random channels of a frozen network, neither turned nor scaled, as PaDiM takes them."""

import torch
from torch import Generator, Tensor

from anomaly_diffusion.codecs.feature import FeatureCodec
from anomaly_diffusion.networks.features import FeatureExtractor

__all__ = ["RandomChannels"]


class RandomChannels(FeatureCodec):
    """Randomly chosen channels of features, neither turned nor scaled; but for their mean, which is taken away.

    Reference: Defard et al., "PaDiM: a Patch Distribution Modeling Framework", 2021, section III.D: random channels
    serve as well as principal components.

    Differs from the paper: channels lose their mean, which changes no distance; the draw is by a seed of its own.

    Args:
        extractor: the frozen network.
        channels: how many are drawn, at least 1.
        seed: of the draw.

    Raises:
        ValueError: `channels` is not positive, or more than there are.
    """

    def __init__(self, extractor: FeatureExtractor, channels: int = 100, seed: int = 0) -> None:
        if channels < 1:
            raise ValueError(f"`channels` must be at least 1, got {channels}.")
        super().__init__(extractor, None, whiten=False)
        known = self.components
        if channels > known:
            raise ValueError(f"`channels` must be at most {known}, those of the stages, got {channels}.")
        self.components, self.seed = channels, seed
        self.projection = torch.zeros(channels, known)
        self.std = torch.ones(channels)

    @property
    def chosen(self) -> Tensor:
        """Numbers of the channels, in their order."""
        drawn = torch.randperm(self.projection.shape[1], generator=Generator().manual_seed(self.seed))
        return drawn[: self.components].sort().values

    def fit(self, moments: Tensor) -> None:
        """Take the mean of each channel, and for pictures its variance, from summed `moments`."""
        count, total = moments[0, 0], moments[0, 1:-1]
        mean = total / count
        variance = (moments.diagonal()[1:-1] / count - mean.square()).clamp(min=1e-12)
        chosen = self.chosen.to(moments.device)
        self.projection.copy_(torch.eye(len(mean), device=moments.device)[chosen])
        self.mean.copy_(mean)
        self.std.copy_(variance[chosen].sqrt())
        self.explained.copy_(variance[chosen].sum() / variance.sum())
        self.brightness.copy_(moments[0, -1] / count)
        self.count.copy_(count)
