"""The Trainer behind the verbs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts.folder import Images
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.engine import checkpoints
from anomaly_diffusion.engine.acceleration import other_precision
from anomaly_diffusion.engine.ending import FitLoop, Interruption
from anomaly_diffusion.engine.lightning_internals import ends_with_its_processes, set_root_folder

__all__ = ["OneFolder", "RunTrainer"]

_OF_ALL_TOGETHER = "The checkpoint was written before each category had limits of its own"
_WITHOUT_LIMITS = "The checkpoint was written before limits came from normal images"


class OneFolder(Callback):
    """Tells every process which folder the first one has made, however the processes were started.

    Must stand before every callback that writes.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Go by the first process; checkpoints do so by themselves."""
        set_root_folder(trainer, trainer.strategy.broadcast(trainer.default_root_dir))


class RunTrainer(Trainer):
    """Lightning's Trainer with one verb more; its trainings end validated, and its detectors judge calibrated."""

    callbacks: list[Callback]  # which Lightning sets, and does not declare

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, and validate what has come of it.

        Args:
            model: the detector.
            train_dataloaders: images to learn from, if no `datamodule` brings them.
            val_dataloaders: images to validate on, likewise.
            datamodule: its data.
            ckpt_path: checkpoint to go on from.
            weights_only: whether the checkpoint may hold tensors only.

        Raises:
            KeyboardInterrupt: Ctrl-C has ended it; what was trained is validated and on disk.
            ValueError: training cannot go on from the checkpoint.
        """
        if ckpt_path is not None:
            checkpoints.read_training(Path(ckpt_path))
        if not isinstance(self.fit_loop, FitLoop):
            self.fit_loop = FitLoop(self)
        super().fit(model, train_dataloaders, val_dataloaders, datamodule, ckpt_path, weights_only)
        if any(isinstance(callback, Interruption) and callback.asked for callback in self.callbacks):
            raise KeyboardInterrupt

    def train(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, then test the checkpoint that was best on validation images.

        Bad test files are told before training. Without test photographs of both classes, which figures need, the
        last word is validation's.

        Args:
            model: the detector.
            datamodule: its data.
            ckpt_path: checkpoint to go on from.
            weights_only: whether the checkpoint may hold tensors only.
        """
        labels = {False, True}
        if isinstance(datamodule, AnomalyDataModule):
            datamodule.expects_test, labels = True, datamodule.test_labels()
        self.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only)
        best = getattr(self.checkpoint_callback, "best_model_path", "") or None
        if labels:
            self.test(model, datamodule=datamodule, ckpt_path=best, weights_only=weights_only, verbose=False)
        if len(labels) < 2:
            self.validate(model, datamodule=datamodule, ckpt_path=best, weights_only=weights_only, verbose=False)
            self._say_what_is_missing(labels)

    def _say_what_is_missing(self, labels: set[bool]) -> None:
        """Say why the figures are those of validation."""
        missing = " and ".join(name for name, label in (("normal", False), ("defective", True)) if label not in labels)
        if self.is_global_zero:
            print(
                f"note: there are no {missing} photographs to test on, so the figures above are those of validation, "
                "whose defects are painted. Later: anomaly-diffusion test --run_folder RUN",
                flush=True,
            )

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[Mapping[str, float]]:
        """Test; validate first if the checkpoint is not calibrated for the way of judging that is asked for.

        Args:
            model: the detector.
            dataloaders: images, if no `datamodule` brings them.
            ckpt_path: checkpoint to test.
            verbose: whether Lightning prints its own table.
            datamodule: its data.
            weights_only: whether the checkpoint may hold tensors only.
        """
        ckpt_path = self._calibrated(model, datamodule, ckpt_path)
        return super().test(model, dataloaders, ckpt_path, verbose, datamodule, weights_only)

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> list[Any] | None:
        """Predict; validate first if the checkpoint is not calibrated for the way of judging that is asked for.

        Args:
            model: the detector.
            dataloaders: images, if no `datamodule` brings them.
            datamodule: its data.
            return_predictions: whether all predictions are kept.
            ckpt_path: checkpoint to predict with.
            weights_only: whether the checkpoint may hold tensors only.

        Raises:
            ValueError: the checkpoint must be calibrated anew, but there are no normal images for it.
        """
        ckpt_path = self._calibrated(model, datamodule, ckpt_path)
        return super().predict(model, dataloaders, datamodule, return_predictions, ckpt_path, weights_only)

    def _calibrated(
        self, model: LightningModule | None, datamodule: LightningDataModule | None, ckpt_path: str | Path | None
    ) -> str | Path | None:
        """Make sure that the detector can judge; return the checkpoint that is still to be loaded."""
        if not isinstance(model, Detector):
            return ckpt_path
        unknown = isinstance(getattr(datamodule, "dataset", None), Images)
        why = self._lacks(model, datamodule, ckpt_path)
        if not why:
            return ckpt_path
        if unknown and why == _WITHOUT_LIMITS:  # scores are as good as ever
            print(f"warning: {why}: no verdicts. Go on with it: anomaly-diffusion train --resume RUN", file=sys.stderr)
            return ckpt_path
        if unknown:
            raise ValueError(
                f"{why}, and unknown photographs cannot calibrate it. Leave its settings as they are, or go on with "
                "its run: anomaly-diffusion train --resume RUN"
            )
        print(f"{why}: validating first.", flush=True)
        self._calibrate(model, datamodule, ckpt_path)
        return None

    def _lacks(self, model: Detector, datamodule: LightningDataModule | None, ckpt_path: str | Path | None) -> str:
        """Why a detector cannot judge as it is asked to; nothing if it can."""
        if ckpt_path is None:
            return "" if model.calibration.fitted else "The detector is not calibrated"
        stored = checkpoints.read(Path(ckpt_path))
        if not model.calibrated_in(stored):
            return "The checkpoint was written before any validation"
        if not model.is_compatible(stored):
            return "Reconstruction or scoring is not what the checkpoint was calibrated for"
        if other := other_precision(stored, str(self.precision)):
            return other
        other_size = _of_other_size(stored.get("frame"), getattr(datamodule, "frame", None))
        several = len(getattr(getattr(datamodule, "dataset", None), "category_names", ())) > 1
        if several and not stored.get("categories"):
            return _OF_ALL_TOGETHER
        return other_size or ("" if model.knows_normals(stored) else _WITHOUT_LIMITS)

    def _calibrate(
        self, model: LightningModule, datamodule: LightningDataModule | None, ckpt_path: str | Path | None
    ) -> None:
        """Validate, so that what follows finds the calibration in the model."""
        if ends_with_its_processes(self) and self.world_size > 1:
            raise ValueError(
                "The model must be calibrated before it judges, by processes that end with their calibration. Use "
                "processes that stay: --trainer.strategy ddp, or --trainer.devices 1. What was trained is on disk."
            )
        self.validate(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False)


def _of_other_size(known: Any, given: Sequence[float] | None) -> str:
    """What to say where a checkpoint was calibrated for frames of another size, or for other tiles; else nothing."""
    if not isinstance(known, list) or given is None or tuple(known) == tuple(given):
        return ""
    there, here = map(_called, (known, given))
    setting = f"`data.{'tiles' if len(given) > 2 else 'image_size'}` is {here.removesuffix(' pixels')}"
    return f"The checkpoint was calibrated for images of {there}, but {setting}"


def _called(frame: Sequence[float]) -> str:
    """A size or a tiling in words."""
    height, width, *tiling = frame
    size = f"{height} x {width} pixels"
    return f"{size}, in tiles that overlap by {tiling[0]}, at scale {tiling[1]:g}" if tiling else size
