import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.transforms import Augmentation


class Watcher(LightningModule):
    """Learns nothing, remembers which images it was shown at which step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown = {}

    def training_step(self, batch, _):
        self.shown[self.global_step] = (batch.path, batch.image)
        return self.weight * batch.image.mean()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def trained(mvtec, folder, keep, workers, ckpt_path=None, steps=11):
    torch.manual_seed(5)
    watcher, augmentation = Watcher(), Augmentation(horizontal_flip=True, vertical_flip=True)
    data = AnomalyDataModule(
        MVTecAD(mvtec), (16, 16), batch_size=4, augmentation=augmentation, loading=Loading(num_workers=workers)
    )
    Trainer(
        default_root_dir=folder, max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, callbacks=[keep],
        val_check_interval=3, check_val_every_n_epoch=None, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    ).fit(watcher, datamodule=data, ckpt_path=ckpt_path)  # fmt: skip
    return watcher.shown


def after(kind, folder):
    """A callback that writes a checkpoint after every step, or after every validation."""
    when = {"step": {"every_n_train_steps": 1}, "validation": {}}[kind]
    return ModelCheckpoint(folder, "{step}", save_top_k=-1, **when)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.soak), 2])
@pytest.mark.parametrize("kind", [pytest.param("step", marks=pytest.mark.soak), "validation"])
def test_a_run_resumed_from_any_checkpoint_sees_what_an_uninterrupted_one_sees(mvtec, tmp_path, kind, workers):
    whole = trained(mvtec, tmp_path, after(kind, tmp_path / "kept"), workers)
    checkpoints = sorted(tmp_path.glob("kept/*.ckpt"), key=lambda path: int(path.stem.removeprefix("step=")))
    assert len(checkpoints) == {"step": 11, "validation": 3}[kind]
    for checkpoint in checkpoints[:: 5 if workers else 1]:
        begun = int(checkpoint.stem.removeprefix("step="))
        seen = trained(mvtec, tmp_path, after(kind, tmp_path / f"resumed{begun}"), workers, checkpoint)
        assert sorted(seen) == list(range(begun, 11))
        for step, (path, image) in seen.items():
            assert path == whole[step][0], (checkpoint, step)
            assert torch.equal(image, whole[step][1])
