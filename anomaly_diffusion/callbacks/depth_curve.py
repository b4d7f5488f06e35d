"""All depths of one checkpoint in one pass: which one detects best, and how much does the choice matter?"""

import math
from pathlib import Path

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.anomaly_metrics import Scorecard
from anomaly_diffusion.callbacks.measured_pixels import FramePixels
from anomaly_diffusion.callbacks.result_callback import ResultCallback, from_all_processes
from anomaly_diffusion.measures import depth_sensitivity, fidelity
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.types import ImageBatch, Prediction


class _Depth:
    """The figures of one depth, and how faithful its reconstructions of normal images are."""

    def __init__(self, device: torch.device) -> None:
        self.card, self.frames = Scorecard(device, maps=True), FramePixels(None)
        self.psnr: list[float] = []  # of each normal image
        self.ssim: list[float] = []

    def update(self, batch: ImageBatch, score: Tensor, anomaly_map: Tensor, shown: tuple[Tensor, Tensor]) -> None:
        self.card.count_images(score, batch.label)
        for part in self.frames.of(batch, {"depth": anomaly_map}):
            self.card.count_pixels(part.maps["depth"], part.mask, part.valid)
        normal = ~batch.label
        reference, reconstruction = (pictures[normal].float() for pictures in shown)
        self.psnr += fidelity.psnr(reference, reconstruction, batch.valid[normal]).tolist()
        self.ssim += fidelity.ssim(reference, reconstruction, batch.valid[normal]).tolist()

    def compute(self) -> dict[str, float]:
        figures, _ = self.card.compute()
        return figures | {"psnr": _mean(self.psnr), "ssim": _mean(self.ssim)}


class DepthCurve(ResultCallback):
    """Writes `depths.csv` and `depths.png` after a test at several depths, and prints the robust intervals.

    Each depth is judged by its own calibrated map, in frames, pooled as the detector pools; fidelity is that of the
    pixels of normal images. For every figure the robust interval is the range of depths within a point of the best.
    The test looks at test images: a depth chosen by it would be chosen on test images, so it is printed as a finding.
    A depth may be chosen by `val_pixel_ap` beside it, what painted defects of the validation say of that depth.
    """

    def __init__(self) -> None:
        super().__init__()
        self._depths: list[_Depth] = []

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count, if there is anything to compare."""
        count = len(pl_module.depths)  # type: ignore[arg-type]
        self._depths = [_Depth(pl_module.device) for _ in range(count)] if count > 1 else []

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure each depth."""
        for place, depth in enumerate(self._depths):
            anomaly_map = prediction.depth_maps[:, place, None].float()
            score = pl_module.pool(anomaly_map, batch.valid)  # type: ignore[operator]
            depth.update(batch, score, anomaly_map, (prediction.reference, prediction.reconstruction[:, place]))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the curve and say how wide it is at the top."""
        if not self._depths:
            return
        depths: tuple[float, ...] = pl_module.depths  # type: ignore[assignment]
        figures = [depth.compute() for depth in self._depths]
        for row, painted in zip(figures, self.shared.painted_at_depths, strict=False):  # none without defects
            row[depth_sensitivity.CHOSEN_BY] = painted
        if trainer.is_global_zero:
            _write(Path(trainer.default_root_dir), depths, figures)
            rows = [[depth, *row.values()] for depth, row in zip(depths, figures, strict=True)]
            wb.log_table(trainer, "depths", ["depth", *figures[0]], rows)
            _report(depths, figures)


def _mean(values: list[float]) -> float:
    """Over all processes; exact sums are the same in every order."""
    every = from_all_processes(values)
    return math.fsum(every) / len(every) if every else math.nan


def _write(folder: Path, depths: tuple[float, ...], figures: list[dict[str, float]]) -> None:
    from anomaly_diffusion.figures.depth_chart import curve

    files.write(folder / "depths.csv", depth_sensitivity.as_csv(depths, figures))
    files.write(folder / "depths.png", curve(depths, figures))


def _report(depths: tuple[float, ...], figures: list[dict[str, float]]) -> None:
    console = Console()
    for name in ("image_auroc", "pixel_auroc", "pixel_ap"):
        interval = depth_sensitivity.robust_interval(depths, [row[name] for row in figures])
        console.print(
            f"{FIGURES[name]:12} within a point of its best at depths {interval}", highlight=False, soft_wrap=True
        )
