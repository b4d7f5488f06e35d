"""Images that a sampler repeats at the end, so that all processes get equally many, must count once."""

from typing import Any

import pytorch_lightning as pl
import torch

from anomaly_diffusion.types import Labels


class Repeats:
    """Tells the images of a pass that have not been seen by any process."""

    def __init__(self) -> None:
        self._seen = 0

    def fresh(self, trainer: pl.Trainer, loader: Any, count: int) -> Labels:
        """Which of the next `count` images of this process are new; to be asked for every batch, in their order."""
        place = torch.arange(self._seen, self._seen + count) * trainer.world_size + trainer.global_rank
        self._seen += count
        return place < len(loader.dataset) if trainer.world_size > 1 else torch.ones(count, dtype=torch.bool)
