"""How faithful a reconstruction of a normal image is, where there is one for each image."""

import math

import pytorch_lightning as pl
import torch

from anomaly_diffusion.callbacks.result_callback import ResultCallback, from_all_processes
from anomaly_diffusion.measures.fidelity import psnr, ssim
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import ImageBatch, Images, Masks, Prediction


class Fidelity(ResultCallback):
    """Measures reconstructions of the normal test images; `summary.json` shows it under "fidelity".

    Means over normal images of `psnr` in dB and `ssim`, and of a residual over the pixels of the photograph if one is
    given. Only where the image itself is what a reconstruction is compared with: a picture of features has no
    fidelity. Detectors of several depths have `depths.csv` instead.

    Args:
        perceptual: for instance LPIPSResidual, whose mean over an image is LPIPS.
    """

    def __init__(self, perceptual: Residual | None = None) -> None:
        if perceptual is not None and perceptual.learns:
            raise ValueError(
                f"`perceptual` must be a residual that needs no training, as LPIPSResidual, got "
                f"{type(perceptual).__name__}."
            )
        super().__init__()
        self.perceptual = perceptual
        self._measured: list[list[float]] = []  # of each normal image

    @property
    def names(self) -> list[str]:
        """What is measured."""
        return ["psnr", "ssim", *([type(self.perceptual).__name__] if self.perceptual else [])]

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count."""
        self.shared.fidelity, self._measured = {}, []
        if self.perceptual is not None:
            self.perceptual.to(pl_module.device)

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure the normal images of a batch."""
        normal = ~batch.label
        if prediction.reconstruction.shape[1] == 1 and normal.any() and torch.equal(prediction.reference, batch.image):
            rebuilt = prediction.reconstruction[normal, 0].float()
            self._measured += self._figures(batch.image[normal], rebuilt, batch.valid[normal])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average over all processes; `RunCard` writes the summary later."""
        columns = zip(*from_all_processes(self._measured), strict=True)
        means = [math.fsum(column) / len(column) for column in columns]  # exact, hence the same in every order
        self.shared.fidelity = dict(zip(self.names, means, strict=False))

    @torch.no_grad()
    def _figures(self, image: Images, rebuilt: Images, valid: Masks) -> list[list[float]]:
        """What `names` says, of each image."""
        figures = [psnr(image, rebuilt, valid), ssim(image, rebuilt, valid)]
        if self.perceptual is not None:
            residual = self.perceptual(image, rebuilt) * valid
            figures.append(residual.sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp(min=1))
        rows: list[list[float]] = torch.stack(figures, dim=1).tolist()
        return rows
