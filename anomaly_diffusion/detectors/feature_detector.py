"""Diffusion on the features of a frozen network."""

from typing import Any

from anomaly_diffusion.codecs.feature import FeatureCodec
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.detectors.encoding_cache import EncodingCache
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise, mix
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch

__all__ = ["FeatureDetector"]

_CROPS = 8192  # that are kept: one of 256 x 256 pixels takes 130 kB


class FeatureDetector(DiffusionDetector):
    """Diffusion runs on whitened features: white noise, cosine schedule and v-prediction, as whitened data ask for.

    Args:
        features: the frozen network.
        backbone: the network that is trained; its channels are the components.
        objective: which depths are learnt and how they count.
        reconstruction: how normal features are found.
        scoring: how features and reconstruction are compared.
        components: number of principal components of the features.
        views: how often each training photograph is augmented, its features kept in memory; 0 computes them at each
            step. Without augmentation one view is all there is.
        normalise_brightness: whether images are brought to the mean brightness of training images.

    Raises:
        ValueError: `views` is negative.
    """

    def __init__(
        self,
        features: FeatureExtractor,
        backbone: Backbone,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        components: int = 64,
        views: int = 1,
        normalise_brightness: bool = False,
    ) -> None:
        denoiser = Denoiser(backbone, CosineSchedule(), VelocityPrediction())
        codec = FeatureCodec(features, components, normalise_brightness=normalise_brightness)
        super().__init__(codec, denoiser, GaussianNoise(), objective, reconstruction, scoring)
        self.views, self.cache = views, EncodingCache(views)

    def on_fit_start(self) -> None:
        """Fit the components, then encode every view of the training photographs once.

        A view of photographs with tiles is as many crops as have its pixels, as far as memory allows.
        """
        super().on_fit_start()
        self.cache = EncodingCache(self.views * self._crops())
        for view in range(self.cache.views):
            for batch in self.training_batches(view, whole=False):
                self.cache.keep(batch, self.codec.encode(batch.image))

    def _crops(self) -> int:
        """How many crops stand for a training photograph; 1 where training sees frames."""
        if not self.views:
            return 1
        data: Any = getattr(self.trainer, "datamodule", None)
        parts = getattr(data, "parts", 1)
        if parts == 1:
            return 1
        photographs = sum(len(batch.path) for batch in self.training_batches(whole=False))
        return max(1, min(parts, _CROPS // (self.views * photographs)))

    def encode_training(self, batch: ImageBatch, step: int | None = None) -> Encoded:
        """Components of training photographs, of a view that is at hand: the first one, or another at each step."""
        numbers = [0 if step is None else mix(step, key) for key in batch.key.tolist()]
        return self.cache.take(batch, numbers, self.codec.encode)
