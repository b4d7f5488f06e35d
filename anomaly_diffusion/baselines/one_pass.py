"""Detectors that are not trained: they look at the training photographs once, or never, and follow no gradient."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch

__all__ = ["OnePassDetector", "Untrained"]


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
        """Nothing to improve."""
        return 0 * self.idle


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
