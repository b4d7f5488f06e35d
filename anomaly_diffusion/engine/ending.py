"""How a training ends: validated, calibrated and with a checkpoint of its last step, whatever has ended it."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from anomaly_diffusion.engine.lightning_internals import BatchLoop, EpochsLoop

__all__ = ["FitLoop", "Interruption"]


class FitLoop(EpochsLoop):
    """Lightning's loop, but the last step is validated: a run that was never validated cannot judge.

    A last step that the loop can foresee is validated within its epoch, so that its checkpoint can be gone on with as
    any other. Where a run is resumed that had nothing left to do but this, as earlier versions left them, it is done.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer, _EpochLoop(trainer))

    def run(self) -> None:
        """Train, or only validate what was trained."""
        self.setup_data()
        if self.skip and self._owing():
            self.on_run_start()
            self.on_run_end()
            return
        if self.skip:
            self._catch_up()
        super().run()

    def on_run_end(self) -> None:
        """Validate what an epoch's end has stopped."""
        if self.trainer.enable_validation and self.epoch_loop.validated != self.epoch_loop.global_step:
            self.trainer.validating = True
            self.epoch_loop.val_loop.run()
            self.trainer.training = True
        super().on_run_end()

    def _catch_up(self) -> None:
        """Count the last step and epoch of a run that is only to be tested, for what its test logs."""
        if self.epoch_loop.uncounted:
            self.epoch_loop.count_logged_step()
            self.epoch_progress.increment_processed()
            self.epoch_progress.increment_completed()
            self.epoch_loop.uncounted = False

    def _owing(self) -> bool:
        """Whether steps were trained, and no checkpoint of a validation was written."""
        checkpoint = self.trainer.checkpoint_callback
        return self.epoch_loop.global_step > 0 and not getattr(checkpoint, "best_model_path", "")


class _EpochLoop(BatchLoop):
    """Lightning's loop within an epoch, which validates the last step of all as well.

    Attributes:
        validated: the step of the latest validation.
        uncounted: whether the last step is not counted yet, as in the checkpoints of its validation.
    """

    validated, uncounted = -1, False

    def on_advance_end(self, data_fetcher: Any) -> None:
        """Validate, if that is due, and count the step."""
        self.uncounted = self.has_stepped()
        super().on_advance_end(data_fetcher)
        self.uncounted = False

    def on_save_checkpoint(self) -> dict[str, Any]:
        """Note whether the last step is still to be counted."""
        return {**super().on_save_checkpoint(), "uncounted": self.uncounted}

    def on_load_checkpoint(self, state_dict: dict[str, Any]) -> None:
        """Read whether it is; where training goes on, Lightning counts it by itself."""
        super().on_load_checkpoint(state_dict)
        self.uncounted = state_dict.get("uncounted", False)

    def is_validation_due(self, due: bool) -> bool:
        """Validate the last step as well."""
        # a checkpoint at an epoch's end came of a validation, which is not due any more where the run is made longer
        owed = self.trainer.enable_validation and (self._is_last() or self._begins_at_end())
        if due or owed:
            self.validated = self.global_step
        return due or owed

    def _begins_at_end(self) -> bool:
        return bool(self.restarting and self.is_at_epoch_end())

    def _is_last(self) -> bool:
        """Whether training ends here: by steps, by epochs, or because it was told to stop."""
        fit: Any = self.trainer.fit_loop
        epochs = fit.epoch_progress.current.processed + self.is_at_epoch_end()
        enough = epochs >= (fit.min_epochs or 0) and self.global_step >= (self.min_steps or 0)
        limits = 0 <= self.max_steps <= self.global_step or 0 <= fit.max_epochs <= epochs
        return limits or (self.trainer.should_stop and enough)


class Interruption(Callback):
    """Makes the first Ctrl-C the end of a training that is validated and written down; the second ends it at once.

    Only in a run of one process: several would stop at different steps.

    Attributes:
        asked: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        if trainer.world_size > 1 or threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self.asked = trainer.should_stop = True
            self._restore()
            print("Stopping after a last validation. Ctrl-C again stops at once.", file=sys.stderr, flush=True)

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, stop)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
