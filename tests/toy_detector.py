"""A detector without a network to train on, and images whose defects it sees: enough for callbacks to be watched."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from anomaly_diffusion.callbacks.result_callback import ResultCallback
from anomaly_diffusion.types import ImageBatch, Prediction, Verdict

SIDE = 16


class ToyImages(Dataset):
    """Noise images; every second one has a bright square, unless `normal_only`. Scratches and dents take turns."""

    def __init__(self, count: int, seed: int = 0, normal_only: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.image = torch.rand(count, 3, SIDE, SIDE, generator=generator) - 0.5
        self.mask = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
        self.label = torch.zeros(count, dtype=torch.bool)
        if not normal_only:
            self.label[1::2] = True
        for index in self.label.nonzero().flatten().tolist():
            top = int(torch.randint(0, SIDE - 4, (), generator=generator))
            self.mask[index, :, top : top + 4, 3:7] = True
            self.image[index, :, top : top + 4, 3:7] += 0.6 * torch.rand((), generator=generator)

    def __len__(self) -> int:
        return len(self.label)

    def path(self, index: int) -> str:
        kind = ("scratch", "big dent")[index // 2 % 2] if self.label[index] else "good"
        return f"test/{kind}/{index:03d}.png"

    def batch(self, indices: list[int]) -> ImageBatch:
        index = torch.tensor(indices)
        return ImageBatch(
            image=self.image[index],
            mask=self.mask[index],
            valid=torch.ones_like(self.mask[index]),
            label=self.label[index],
            category=torch.zeros_like(index),
            key=index,
            size=torch.tensor([[20, 40]]).expand(len(indices), 2),
            path=[self.path(i) for i in indices],
            kind=[Path(self.path(i)).parent.name for i in indices],
        )

    def __getitem__(self, index: int) -> int:
        return index

    def loader(self, batch_size: int = 5) -> DataLoader:
        return DataLoader(self, batch_size=batch_size, collate_fn=self.batch)


class ToyDetector(pl.LightningModule):
    """Believes that a normal image is one number everywhere, and learns it."""

    depths = (0.5, 1.0)
    method = "Constant"

    def __init__(self) -> None:
        super().__init__()
        self.reconstruction = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("image_threshold", torch.tensor(torch.nan))
        self.register_buffer("pixel_threshold", torch.tensor(torch.nan))
        self.register_buffer("calibrated_on", torch.tensor(torch.nan))

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        return (batch.image - self.reconstruction).square().mean()

    def on_validation_start(self) -> None:
        self.calibrated_on.copy_(self.reconstruction.detach())

    def pool(self, anomaly_map: Tensor, valid: Tensor) -> Tensor:
        return anomaly_map.masked_fill(~valid, -torch.inf).flatten(1).amax(1)

    def judge(self, batch: ImageBatch) -> Prediction:
        reconstruction = self.reconstruction.detach().expand(len(batch.image), 2, 3, SIDE, SIDE)
        depth_maps = (batch.image[:, None] - reconstruction).abs().mean(2) * 8
        anomaly_map = depth_maps.mean(1, keepdim=True)
        return Prediction(batch.image, reconstruction, depth_maps, anomaly_map, anomaly_map.flatten(1).amax(1), nfe=2)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:
        return self.judge(batch)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:
        return self.judge(batch)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:
        return self.judge(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Limit(ResultCallback):
    """Lets images of a test or of a prediction have verdicts by a limit of its own; maps peak where they are told to.

    Args:
        limit: score beyond which an image is called defective.
        in_place: whether maps peak at the defect.
    """

    consumes_predict = True

    def __init__(self, limit: float, in_place: bool = True) -> None:
        super().__init__()
        self.limit, self.in_place = limit, in_place

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.shared.judge = self.judge

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        pass

    def judge(self, prediction: Prediction, batch: ImageBatch) -> list[Verdict]:
        places = [self.in_place if label else None for label in batch.label.tolist()]
        return [
            Verdict(0.5, self.limit, score > self.limit, in_place=place)
            for score, place in zip(prediction.score.tolist(), places, strict=True)
        ]


def trainer(folder: object, *callbacks: pl.Callback, epochs: int = 2, **options: object) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    kept = {"enable_checkpointing": False, "accelerator": "cpu", "devices": 1, "log_every_n_steps": 1}
    return pl.Trainer(
        default_root_dir=folder, max_epochs=epochs, callbacks=list(callbacks), **{**quiet, **kept, **options}
    )
