"""Sampling trajectories: how a strategy gets from an image to its reconstruction."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.result_callback import ResultCallback, compared_by
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.figures.result_pictures import cut, pixels, result_pictures
from anomaly_diffusion.types import ImageBatch, Prediction


class SamplingTrajectories(ResultCallback):
    """Draws `<run>/panels/trajectories.png` after a test: some images on their way through the strategy.

    Images are chosen by kind and place only (see `DisplaySampler`), and reconstructed again while the network is
    watched. Nothing is drawn of detectors that ask no network, nor of photographs that are judged by tiles.

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
        super().__init__()
        self.count, self.evaluations, self.limit = count, evaluations, limit
        self._sampler: DisplaySampler[ImageBatch] = DisplaySampler(count)

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new choice."""
        self._sampler = DisplaySampler(self.count)

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Consider the images of a batch."""
        if batch.tiles is not None:
            return
        for index, kind in enumerate(batch.kinds):
            self._sampler.offer(kind, bool(batch.label[index]), partial(batch.rows, torch.tensor([index])))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, while the weights are still those that were tested."""
        chosen = self._sampler.chosen()
        if not trainer.is_global_zero or not chosen:
            return
        from anomaly_diffusion.figures.trajectories import trajectory_sheet

        found = [self._trajectory(pl_module, batch) for batch in chosen]
        trajectories = [trajectory for trajectory in found if trajectory.evaluations]
        if not trajectories:
            return
        title = f"{pl_module.method}: what the network is shown, and what it answers"
        files.write(
            Path(trainer.default_root_dir) / "panels" / "trajectories.png",
            trajectory_sheet(trajectories, title, self.limit),
        )

    def _trajectory(self, detector: Any, batch: ImageBatch) -> Any:
        from anomaly_diffusion.figures.trajectories import Trajectory, spaced

        asked, prediction, valid = detector.trace(batch), detector(batch), batch.valid[0]
        shown = [asked[place] for place in spaced(len(asked), self.evaluations)]
        steps = [
            (float(one.depth[0]), pixels(cut(one.x_t[0], valid)), pixels(cut(one.x_0_hat[0], valid))) for one in shown
        ]
        return Trajectory(result_pictures(prediction, batch, 0, compared=compared_by(detector)), steps)
