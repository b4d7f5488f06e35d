"""How a strategy went about it: from the image over every estimate to the reconstruction."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.types import ImageBatch


class SamplingTrajectories(pl.Callback):
    """Draws `<run>/panels/trajectories.png` after a test: some images on their way through the strategy.

    Images are chosen by kind and place only (see `DisplaySampler`), and reconstructed again while the network is
    watched. Nothing is drawn of detectors that ask no network.

    Args:
        count: number of images shown, at least 1.
        evaluations: number of network evaluations shown of each, from the first to the last, at least 1.
        limit: where the colour scale of maps ends, in standard deviations of normal images, > 0.
    """

    def __init__(self, count: int = 3, evaluations: int = 6, limit: float = 8.0) -> None:
        if evaluations < 1:
            raise ValueError(f"`evaluations` must be at least 1, got {evaluations}.")
        if limit <= 0:
            raise ValueError(f"`limit` must be positive, got {limit}.")
        self.count, self.evaluations, self.limit = count, evaluations, limit
        self._spread: DisplaySampler[ImageBatch] = DisplaySampler(count)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new choice."""
        self._spread = DisplaySampler(self.count)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consider the images of a batch."""
        for index, kind in enumerate(batch.kinds):
            self._spread.offer(kind, bool(batch.label[index]), partial(_alone, batch, index))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, while the weights are still those that were tested."""
        chosen = self._spread.chosen()
        if not trainer.is_global_zero or not chosen:
            return
        from anomaly_diffusion.figures.trajectories import trajectory_sheet

        trajectories = [
            trajectory
            for trajectory in (self._trajectory(pl_module, batch) for batch in chosen)
            if trajectory.evaluations
        ]
        if not trajectories:
            return
        title = f"{pl_module.method}: what the network is shown, and what it answers"
        files.write(
            Path(trainer.default_root_dir) / "panels" / "trajectories.png",
            trajectory_sheet(trajectories, title, self.limit),
        )

    def _trajectory(self, detector: Any, batch: ImageBatch) -> Any:
        from anomaly_diffusion.figures.trajectories import Trajectory, spaced

        asked, verdict = detector.trace(batch), detector(batch)
        shown = [asked[place] for place in spaced(len(asked), self.evaluations)]
        return Trajectory(
            image=batch.image[0],
            evaluations=[(float(one.depth[0]), one.x_t[0], one.x_0_hat[0]) for one in shown],
            reconstruction=verdict.reconstruction[0, -1],
            anomaly_map=verdict.anomaly_map[0, 0],
            title=batch.path[0],
            mask=batch.mask[0, 0] if batch.mask.any() else None,
            reference=verdict.reference[0],
        )


def _alone(batch: ImageBatch, index: int) -> ImageBatch:
    """One image of a batch, which need not be kept."""
    return batch.rows(torch.arange(len(batch.path), device=batch.label.device) == index)
