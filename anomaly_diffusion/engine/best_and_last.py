"""When checkpoints are written."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

__all__ = ["BestAndLast"]


class BestAndLast(ModelCheckpoint):
    """Lightning's ModelCheckpoint, whose `last.ckpt` is the last.

    The original writes it only where the monitored figure has improved, and once more at the end of a process that has
    written none: a run that was killed would lose what it learnt since its best, and a resumed one would leave other
    files than an uninterrupted one.
    """

    @property
    def state_key(self) -> str:
        """The key of the original, so that either reads what the other has written."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the best, if it is, and the last."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do the same where checkpoints belong to epochs."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._save_last(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave a `last.ckpt` behind, whatever the length of the run."""
        if not self.last_model_path:
            super().on_train_end(trainer, pl_module)

    def _save_last(self, trainer: pl.Trainer) -> None:
        if self.save_last and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
