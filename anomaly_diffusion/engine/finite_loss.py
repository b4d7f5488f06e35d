"""Stops a training that has come to nothing."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

__all__ = ["FiniteLoss"]


class FiniteLoss(Callback):
    """Ends a run whose loss is no number, before a checkpoint is spoilt by it.

    The loss is looked at where figures are logged and before each validation: at every step a GPU would have to wait.
    """

    def __init__(self) -> None:
        self._first_bad: Tensor | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the first step whose loss is infinite or no number."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        step = torch.where(loss.detach().isfinite().all(), torch.inf, float(trainer.global_step)).to(loss.device)
        self._first_bad = step if self._first_bad is None else torch.minimum(self._first_bad, step)
        if trainer.global_step % max(1, getattr(trainer, "log_every_n_steps", 1)) == 0:
            self._check()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a verdict and a checkpoint are made of it."""
        self._check()

    def _check(self) -> None:
        if self._first_bad is not None and torch.isfinite(self._first_bad):
            raise ValueError(
                f"The loss is no finite number from step {int(self._first_bad)} on: training has come apart. Lower "
                "optimizer.init_args.lr, set trainer.gradient_clip_val to 1.0, or take trainer.precision 32-true. "
                "Checkpoints written before are whole."
            )
