"""One run folder for all processes of a run."""

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["OneFolder"]


class OneFolder(Callback):
    """Tells every process which folder the first one has made, however the processes were started.

    Must stand before every callback that writes.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Go by the first process; checkpoints do so by themselves."""
        trainer._default_root_dir = trainer.strategy.broadcast(trainer.default_root_dir)  # type: ignore[attr-defined]
