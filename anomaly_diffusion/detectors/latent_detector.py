"""Diffusion on the latents of a frozen autoencoder."""

from typing import Any

import torch

from anomaly_diffusion.codecs.latent import Against, LatentCodec
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.detectors.latent_cache import LatentCache
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource, mix
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.autoencoder import Autoencoder
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch

__all__ = ["LatentDetector"]


class LatentDetector(DiffusionDetector):
    """Diffusion runs on normalised latents, with the cosine schedule and v-prediction.

    Reference: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022.

    Differs from the paper: each channel of latents is brought to unit variance, theirs all by one factor; the schedule
    is cosine and v is predicted, theirs linear and the noise; nothing is told to the network but the category; the
    paper judges no images.

    Args:
        autoencoder: trained before; it is frozen.
        backbone: the network that is trained; its channels are those of the latent.
        noise: forward-process noise, in training and in scoring alike.
        objective: which depths are learnt and how they count.
        reconstruction: how normal latents are found.
        scoring: how image and reconstruction are compared.
        against: with what decoded normal latents are compared; the image if not given.
        cache: where latents of training photographs are kept; one view of each, in memory, if not given.

    Raises:
        ValueError: the backbone works on another number of channels.
    """

    codec: LatentCodec

    def __init__(
        self,
        autoencoder: Autoencoder,
        backbone: Backbone,
        noise: NoiseSource,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        against: Against | None = None,
        cache: LatentCache | None = None,
    ) -> None:
        _check_channels(backbone, autoencoder.channels)
        denoiser = Denoiser(backbone, CosineSchedule(), VelocityPrediction())
        super().__init__(LatentCodec(autoencoder, against), denoiser, noise, objective, reconstruction, scoring)
        self.cache = cache or LatentCache()

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the constructor, and a digest of the autoencoder's weights."""
        return {**super().settings, "weights": self.codec.identity["weights"]}

    def on_fit_start(self) -> None:
        """Encode every view of the training photographs once, and learn what latents are like."""
        seen = []
        for view in range(self.cache.views):
            for batch in self.training_batches(view, whole=False):
                latent = self.cache.latents(batch.image, self.codec.latent, self.codec.identity)
                self.cache.keep(batch, latent)
                seen.append(self.codec.latent_moments(latent, batch.valid))
        if seen and not self.codec.fitted:
            self.codec.fit(torch.stack(seen).sum(0))
        super().on_fit_start()

    def encode_training(self, batch: ImageBatch, step: int | None = None) -> Encoded:
        """Latents of training photographs, of a view that is at hand: the first one, or another at each step."""
        numbers = [0 if step is None else mix(step, key) for key in batch.key.tolist()]
        return self.codec.normalised(self.cache.take(batch, numbers, self.codec.latent))


def _check_channels(backbone: Backbone, channels: int) -> None:
    probe = torch.zeros(1, channels, 16, 16)
    classes = torch.zeros(1, dtype=torch.int64) if backbone.classes else None
    try:
        with torch.no_grad():
            fits = backbone(probe, torch.full((1,), 0.5), classes).shape == probe.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"`backbone` must work on the {channels} channels of the autoencoder's latent. "
            f"Add --model.init_args.backbone.init_args.channels {channels}"
        )
