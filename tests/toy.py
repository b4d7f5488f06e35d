"""The smallest detector and data that the Lightning verbs accept: a line fitted to numbers."""

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.sample import AnomalyDataset
from anomaly_diffusion.data.transforms import Augmentation

__all__ = ["LineDetector", "Textures", "ToyData", "ToyDetector"]  # base.yaml names Textures


class LineDetector(LightningModule):
    """A line fitted to numbers: what Lightning needs, and nothing of images."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"`width` must be positive, got {width}.")
        self.net = torch.nn.Linear(width, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = (self.net(batch[0]) - 1).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/pixel_ap", -(self.net(batch[0]) - 1).square().mean())

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("test/pixel_ap", -(self.net(batch[0]) - 1).square().mean())

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.net(batch[0])


ToyDetector = LineDetector  # its name before; toy_detector.ToyDetector judges images


class ToyData(LightningDataModule):
    def __init__(
        self,
        count: int = 16,
        width: int = 2,
        dataset: AnomalyDataset | None = None,  # this and what follows is there because base.yaml sets it
        augmentation: Augmentation | None = None,
        batch_size: int = 8,
    ) -> None:
        super().__init__()
        self.count, self.width = count, width

    def _loader(self) -> DataLoader:
        numbers = torch.linspace(-1, 1, self.count * self.width).reshape(self.count, self.width)
        return DataLoader(TensorDataset(numbers), batch_size=4)

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = _loader
