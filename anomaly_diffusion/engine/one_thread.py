"""Judging is the same whatever the number of threads."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn


class OneThread(pl.Callback):
    """Gives each operation one thread wherever images are judged; the others judge other parts of the batch.

    Several threads share the sum of a convolution, or an array whose tail is computed by other instructions: on a CPU
    the last bits depend on their number, and with it on the number of processes that share the cores. With one thread
    each they do not, and `MicroBatcher` keeps the other cores busy. Training has all threads,
    and its weights their bits.
    """

    def __init__(self) -> None:
        self._threads = 0  # while operations have one: how many there were

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """One thread, but in training."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._hold(pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One thread."""
        self._hold(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All threads, where training goes on."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._release(pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave all as it was."""
        self._release(pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave all as it was."""
        self._release(pl_module)

    def _hold(self, pl_module: pl.LightningModule) -> None:
        if not self._threads:
            self._threads = torch.get_num_threads()
            torch.set_num_threads(1)
            self._tell(pl_module, self._threads)

    def _release(self, pl_module: pl.LightningModule) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
            self._threads = 0
            self._tell(pl_module, None)

    @staticmethod
    def _tell(pl_module: pl.LightningModule, threads: int | None) -> None:
        micro_batches = getattr(pl_module, "micro_batches", None)
        if micro_batches is not None:
            micro_batches.threads = threads
