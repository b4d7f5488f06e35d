"""Shows how far a run is: a bar on a terminal, one line per validation in a log file."""

import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

_SHOWN = ("image_auroc", "pixel_auroc", "pixel_ap")


class StepProgress(ProgressBar):
    """Counts training steps, not epochs: the length of a run is given in steps."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._enabled = True
        self._begin = 0.0

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing; Lightning calls it on all but the first process."""
        self._enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._enabled:
            self._console.print(*args, highlight=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count towards `max_steps`."""
        self._begin = time.monotonic()
        self._open("train", trainer.max_steps if trainer.max_steps > 0 else None)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count a training step."""
        self._show(trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the figures of a validation during training in one line."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            known = {key: trainer.callback_metrics.get(f"val/{key}") for key in _SHOWN}
            told = "  ".join(f"{key} {float(figure):.3f}" for key, figure in known.items() if figure is not None)
            self.print(f"step {trainer.global_step:>6}  {time.monotonic() - self._begin:6.0f} s  val: {told}")
        elif trainer.state.fn != "fit":
            self._close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count batches when validation is all there is to do."""
        if trainer.state.fn != "fit":
            self._open("validate", self._total(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count test batches."""
        self._open("test", self._total(trainer.num_test_batches))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count batches to predict."""
        self._open("predict", self._total(trainer.num_predict_batches))

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count a validation batch."""
        if trainer.state.fn != "fit":
            self._advance()

    def on_test_batch_end(self, *_: Any) -> None:
        """Count a test batch."""
        self._advance()

    def on_predict_batch_end(self, *_: Any) -> None:
        """Count a predicted batch."""
        self._advance()

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        self._close()

    def on_test_end(self, *_: Any) -> None:
        """Remove the bar."""
        self._close()

    def on_predict_end(self, *_: Any) -> None:
        """Remove the bar."""
        self._close()

    def on_exception(self, *_: Any) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _open(self, what: str, total: int | None) -> None:
        self._close()
        if not (self._enabled and self._console.is_terminal):
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            Remaining(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
        self._task = self._bar.add_task(what, total=total)
        self._bar.start()

    def _show(self, completed: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=completed)

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @staticmethod
    def _total(batches: list[int | float]) -> int | None:
        total = sum(batches)
        return int(total) if total != float("inf") else None
