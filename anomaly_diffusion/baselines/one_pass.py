"""Detectors that are not trained: they look at training photographs once, or never; an autoencoder alone is one."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from anomaly_diffusion.codecs.codec import Codec, PixelCodec
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.networks.autoencoder import Autoencoder
from anomaly_diffusion.networks.buffers import freeze, identity
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch, Reconstructed

__all__ = ["OnePassDetector", "Untrained", "VAEFloor"]


class Untrained(pl.LightningModule):
    """The training of what has nothing to learn, to be put before another base class.

    Lightning counts steps, and writes checkpoints, by the steps of an optimiser: this one is given a number on which
    nothing depends.
    """

    idle: nn.Parameter

    def idle_along(self) -> None:
        """Take the number that the optimiser is given."""
        self.idle = nn.Parameter(torch.zeros(()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One that never moves."""
        return torch.optim.SGD([self.idle], lr=0.0)

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Nothing to improve; the numbers of copies for folds take part, as processes wait for all gradients."""
        return 0 * torch.stack([weight.sum() for weight in self.parameters()]).sum()


class OnePassDetector(Untrained, Detector):
    """A detector whose training steps change nothing; one epoch is all it needs.

    Args:
        codec: where images and reconstructions are compared.
        scoring: how they are compared.
        provides_maps: whether the detector brings maps that take the place of residuals.
    """

    def __init__(self, codec: Codec, scoring: Scoring, provides_maps: bool = False) -> None:
        super().__init__(codec, scoring, versions=1, provides_maps=provides_maps)
        self.idle_along()


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
