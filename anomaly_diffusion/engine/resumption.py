"""What a resumed run must undo before it goes on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from anomaly_diffusion.engine.changes import Change, adapt, settings_of
from anomaly_diffusion.engine.loggers import MetricsFile

__all__ = ["Resumption"]


class Resumption(Callback):
    """Makes a resumed run repeat what was done since its checkpoint, exactly, but for what was changed.

    Rows of metrics.csv that were written since then are taken back: they will be written again. The global generator,
    from which dropout draws, goes on as it stood; with several processes, all of them as it stood in the first.

    Args:
        changed: settings that are not what they were before.
        remember: is told the step from which they hold, once nothing stands in their way.
    """

    def __init__(self, changed: Sequence[Change] = (), remember: Callable[[int], None] | None = None) -> None:
        self._changed, self._remember = changed, remember
        self._step = 0
        self._random: dict[str, Any] = {}
        self._made: list[dict[str, Any]] = []  # what optimisers were made with

    def state_dict(self) -> dict[str, Any]:
        """The global generators of torch, and what the optimisers were made with."""
        return {
            "optimizers": self._made,
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Note how they stood."""
        self._made = state_dict.get("optimizers", [])
        self._random = {name: value for name, value in state_dict.items() if name != "optimizers"}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the step at which training goes on."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._step = int(checkpoint["global_step"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what was logged from that step on."""
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and trainer.is_global_zero:
                logger.forget_from(self._step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the generators back, when all else that draws from them has done so; let what was changed hold."""
        if self._step:
            adapt(trainer, self._made, self._changed)
        self._made = settings_of(trainer.optimizers)
        if self._changed and self._remember and trainer.is_global_zero:
            self._remember(self._step)
        if self._random:
            torch.set_rng_state(self._random["cpu"].cpu())
        if self._random.get("cuda") and len(self._random["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in self._random["cuda"]])
        self._random = {}
