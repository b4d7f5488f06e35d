"""Averaged weights: noise in the last steps of training never reaches a result."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor


class EMA(pl.Callback):
    r"""Keeps an exponential moving average of the trained weights and puts it in place whenever the model is judged.

    average <- decay_t * average + (1 - decay_t) * weight,   decay_t = min(decay, (1 + t) / (10 + t))

    where t counts optimiser steps from 0. The average is in place from the start of each validation to its end, and
    after training. A checkpoint's `state_dict` holds it, so that any reader of the checkpoint gets the judged weights,
    while the weights to go on training from travel beside it. Only trainable parameters are averaged: buffers
    (calibration, thresholds) belong to the module, are never swapped, and reach the checkpoint as they are.

    Lightning's own `EMAWeightAveraging` swaps after `on_validation_start`, and swaps buffers as well, so whatever a
    detector calibrates there would be fitted on the wrong weights and be thrown away.

    Args:
        decay: in [0, 1); 0.999 averages over about the last thousand steps.
    """

    CHECKPOINT_KEY = "ema"

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must lie in [0, 1), got {decay}.")
        self.decay = decay
        self.updates = 0
        self._step = 0
        self._stored: dict[str, Tensor] = {}  # the average; while the average is in place, the trained weights
        self._in_place = False
        self._resumed: tuple[int, dict[str, Tensor]] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start an average from the weights as they are, or go on where the checkpoint ended."""
        if any(getattr(callback, "save_weights_only", False) for callback in trainer.checkpoint_callbacks):
            raise ValueError(
                "`save_weights_only` must be false with EMA: such a checkpoint would hold the weights before averaging."
            )
        weights = _trainable(pl_module)
        self._stored = {name: weight.detach().clone() for name, weight in weights.items()}
        self._in_place = False
        self.updates, trained = self._resumed or (0, {})
        self._resumed = None
        for name, weight in trained.items():
            weights[name].data.copy_(weight)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from the step at which training starts or goes on."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average once per optimiser step, however many batches it gathered."""
        if trainer.global_step != self._step:
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            weights = _trainable(pl_module)
            averages = [self._stored[name] for name in weights]
            torch._foreach_lerp_(averages, [weight.detach() for weight in weights.values()], 1 - decay)
            self._step, self.updates = trainer.global_step, self.updates + 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in place, before the module's own hook of this name runs."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._put_in(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go back to the weights being trained."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._take_out(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in place for whatever follows."""
        self._put_in(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the average where readers look, and the trained weights beside it."""
        if not self._stored:
            return
        trained = self._stored
        if not self._in_place:
            trained = {name: checkpoint["state_dict"][name] for name in self._stored}
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **self._stored}
        checkpoint[self.CHECKPOINT_KEY] = {"trained": trained, "updates": self.updates}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember the trained weights when training is to go on; judging needs the average only, which is loaded."""
        state = checkpoint.get(self.CHECKPOINT_KEY)
        if state is not None and trainer.state.fn == TrainerFn.FITTING:
            self._resumed = (state["updates"], state["trained"])

    def _put_in(self, pl_module: pl.LightningModule) -> None:
        if self._stored and not self._in_place:
            self._swap(pl_module)

    def _take_out(self, pl_module: pl.LightningModule) -> None:
        if self._in_place:
            self._swap(pl_module)

    @torch.no_grad()
    def _swap(self, pl_module: pl.LightningModule) -> None:
        for name, weight in _trainable(pl_module).items():
            stored = self._stored[name].clone()
            self._stored[name].copy_(weight)
            weight.copy_(stored)
        self._in_place = not self._in_place


def _trainable(module: pl.LightningModule) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
