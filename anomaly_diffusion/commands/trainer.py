"""The Trainer behind the verbs."""

from pathlib import Path

from pytorch_lightning import LightningDataModule, LightningModule, Trainer


class RunTrainer(Trainer):
    """Lightning's Trainer with one verb more."""

    def train(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, then test the checkpoint that was best on validation images.

        Args:
            model: the detector.
            datamodule: its data.
            ckpt_path: checkpoint to go on from.
            weights_only: whether the checkpoint may hold tensors only.
        """
        self.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only)
        if not getattr(self.checkpoint_callback, "best_model_path", ""):
            self.validate(model, datamodule=datamodule)  # a run shorter than its validation interval
        best = getattr(self.checkpoint_callback, "best_model_path", "")
        self.test(model, datamodule=datamodule, ckpt_path=best or None, weights_only=weights_only, verbose=False)
