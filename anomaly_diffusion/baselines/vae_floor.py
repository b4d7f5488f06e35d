"""The floor of latent diffusion: what encoding and decoding alone finds."""

from typing import Any

from anomaly_diffusion.baselines.one_pass import OnePassDetector
from anomaly_diffusion.codecs.pixel import PixelCodec
from anomaly_diffusion.networks.autoencoder import Autoencoder
from anomaly_diffusion.networks.frozen import freeze, identity
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch, Reconstructed

__all__ = ["VAEFloor"]


class VAEFloor(OnePassDetector):
    """The reconstruction is D(E(image)) of a frozen autoencoder: no diffusion at all.

    Latent diffusion that is compared with the image must find more than this, and draws normal images no better.

    Args:
        autoencoder: of others, or one that a run of AutoencoderDetector has trained.
        scoring: how image and D(E(image)) are compared.
    """

    def __init__(self, autoencoder: Autoencoder, scoring: Scoring) -> None:
        super().__init__(PixelCodec(), scoring)
        freeze(autoencoder.eval())
        self.autoencoder, self.identity = autoencoder, identity(autoencoder)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the constructor, and a digest of the autoencoder's weights."""
        return {**super().settings, "weights": self.identity["weights"]}

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """D(E(image))."""
        return Reconstructed(self.autoencoder.pixels(self.autoencoder.encode(x_0))[:, None], nfe=0)
