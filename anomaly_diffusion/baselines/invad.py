"""InvAD: how unlikely the noise is that a model of normal features carries an image to."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.detectors.feature_detector import FeatureDetector
from anomaly_diffusion.detectors.normal_batches import normals
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.reconstruction.inversion import Inversion, LatentNorm
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded, ImageBatch, Maps, Scores, inside

__all__ = ["InvAD"]


class InvAD(FeatureDetector):
    """Feature diffusion that walks into noise; where normal features arrive at white noise, others do not.

    map   = |z|,   z = x_T of `Inversion`, the norm over channels
    score = standardised (max |z| - min |z|) + standardised (sum of z^2 / 2)

    The second is the negative log-likelihood of z under white noise, but for a constant.

    Reference: Sakai et al., "InvAD: Inversion-based Reconstruction-Free Anomaly Detection with Diffusion Models", 2026,
    and its code.

    Differs from the paper: both parts of a score are in standard deviations from their mean over held-out normals,
    theirs in shares of their range over all test images; the sum is a mean over positions of the photograph; features,
    of any network, are whitened principal components, and the network is no transformer of 1.2 billion weights but
    `backbone`, with the cosine schedule and v-prediction, theirs with the linear one and the noise; what `Inversion`
    lists of the path, and `LatentNorm` of the map; maps are smoothed as `scoring` says, theirs are not.

    Args:
        features: the frozen network.
        backbone: the network that is trained; its channels are the components.
        objective: which depths are learnt and how they count.
        scoring: how maps are smoothed and standardised; its residuals and pooling have no say.
        depth: where the path ends, > 0; deep enough that little is left of the image.
        steps: strides of the path, >= 1.
        components: number of principal components of the features.
        views: as for `FeatureDetector`.
        normalise_brightness: whether images are brought to the mean brightness of training images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: FeatureExtractor,
        backbone: Backbone,
        objective: Objective,
        scoring: Scoring | None = None,
        depth: float = 30.0,
        steps: int = 3,
        components: int = 64,
        views: int = 1,
        normalise_brightness: bool = False,
    ) -> None:
        path = Inversion((depth,), steps, LatentNorm())
        scoring = scoring or Scoring(smoothing=0.0)
        super().__init__(features, backbone, objective, path, scoring, components, views, normalise_brightness)
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("std", torch.ones(2))

    @torch.no_grad()
    def calibrate(self, batches: Iterable[ImageBatch]) -> None:
        """Fit the calibration, and what the parts of a score are like, to the normal images among `batches`.

        Raises:
            ValueError: there are not two normal images.
        """
        seen: list[Tensor] = []

        def watched() -> Iterator[ImageBatch]:
            for batch in batches:
                normal = normals(self, batch)
                if normal.path:
                    seen.append(self.micro_batches(lambda part: self.parts(part, self.decoded(part)), normal))
                yield batch

        super().calibrate(watched())
        if not self.sees_all_categories():
            return
        parts = torch.cat(seen)
        if len(parts) < 2:
            raise ValueError("One normal image has no spread. Hold out at least two for validation.")
        self.mean.copy_(parts.mean(0))
        self.std.copy_(parts.std(0).clamp(min=torch.finfo(parts.dtype).eps))

    def score(self, batch: ImageBatch, decoded: Decoded, anomaly_map: Maps) -> Scores:
        """How far the range of norms and the likelihood of the latent lie above those of normal images."""
        return ((self.parts(batch, decoded) - self.mean) / self.std).sum(1)

    def parts(self, batch: ImageBatch, decoded: Decoded) -> Float[Tensor, "B 2"]:
        """Range of the norms over the photograph, and half their mean square."""
        found = cast(Tensor, decoded.anomaly_maps)  # an inversion always brings some
        known, norms = inside(batch.valid, found.shape[-2:]), found.flatten(1).float()
        ends = norms.masked_fill(~known, -torch.inf).amax(1) - norms.masked_fill(~known, torch.inf).amin(1)
        likelihood = (norms.square() * known).sum(1) / known.sum(1) / 2
        return torch.stack([ends, likelihood], dim=1)
