"""A test that may be killed: its verdicts are kept as long as it lasts."""

import shutil
from pathlib import Path

import pytorch_lightning as pl

from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.recollection import Recollection
from anomaly_diffusion.runs import parts

__all__ = ["Recall"]


class Recall(pl.Callback):
    """Lets a detector keep its verdicts on test photographs until the end, and go by those that it finds.

    Must stand behind every callback that writes.
    """

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find what a killed test has left."""
        if isinstance(pl_module, Detector):
            pl_module.recollection = Recollection(parts.verdicts(Path(trainer.default_root_dir)))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget it, once all processes are there."""
        if isinstance(pl_module, Detector):
            pl_module.recollection = None
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            shutil.rmtree(parts.verdicts(Path(trainer.default_root_dir)).parent, ignore_errors=True)
