"""The Trainer behind the verbs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

from anomaly_diffusion.commands import checkpoints
from anomaly_diffusion.detectors.base import Detector


class RunTrainer(Trainer):
    """Lightning's Trainer with one verb more."""

    def train(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, then test the checkpoint that was best on validation images.

        Args:
            model: the detector.
            datamodule: its data.
            ckpt_path: checkpoint to go on from.
            weights_only: whether the checkpoint may hold tensors only.
        """
        self.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only)
        if not getattr(self.checkpoint_callback, "best_model_path", ""):
            self._calibrate(model, datamodule)  # a run shorter than its validation interval
        best = getattr(self.checkpoint_callback, "best_model_path", "")
        self.test(model, datamodule=datamodule, ckpt_path=best or None, weights_only=weights_only, verbose=False)

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[Mapping[str, float]]:
        """Test; validate first if the checkpoint was calibrated for another way of judging than the one asked for.

        Args:
            model: the detector.
            dataloaders: images, if no `datamodule` brings them.
            ckpt_path: checkpoint to test.
            verbose: whether Lightning prints its own table.
            datamodule: its data.
            weights_only: whether the checkpoint may hold tensors only.
        """
        stored = checkpoints.read(Path(ckpt_path)) if ckpt_path is not None else None
        if stored is not None and isinstance(model, Detector) and not model.suits(stored):
            print("Reconstruction or scoring is not what the checkpoint was calibrated for: validating first.")
            self._calibrate(model, datamodule, ckpt_path)
            ckpt_path = None
        return super().test(model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def _calibrate(
        self, model: LightningModule, datamodule: LightningDataModule | None, ckpt_path: str | Path | None = None
    ) -> None:
        """Validate, so that the test that follows finds the calibration in the model."""
        if isinstance(self.strategy.launcher, _MultiProcessingLauncher) and self.world_size > 1:
            raise ValueError(
                "The model must be calibrated before this test, by processes that end with their calibration. Use "
                "processes that stay: --trainer.strategy ddp, or --trainer.devices 1. What was trained is on disk."
            )
        self.validate(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False)
