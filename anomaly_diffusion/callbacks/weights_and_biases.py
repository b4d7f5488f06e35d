"""Pictures and tables for Weights & Biases, if the run has such a logger; the import waits until then."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
from jaxtyping import Bool, UInt8
from numpy import ndarray
from pytorch_lightning.loggers import WandbLogger


def runs(trainer: pl.Trainer) -> list[Any]:
    """The Weights & Biases runs of this trainer; none without such a logger, and none outside the first process."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def picture(
    image: UInt8[ndarray, "H W C"], truth: Bool[ndarray, "H W"], found: Bool[ndarray, "H W"], caption: str
) -> Any:
    """An image whose true and found defects can be switched on and off in the browser."""
    import wandb

    masks = {
        name: {"mask_data": mask.astype("uint8"), "class_labels": {0: "normal", 1: "defect"}}
        for name, mask in (("truth", truth), ("found", found))
    }
    return wandb.Image(image, masks=masks, caption=caption)


def log_pictures(trainer: pl.Trainer, key: str, pictures: Sequence[Any]) -> None:
    """Log pictures at the current step of training."""
    for run in runs(trainer):
        run.log({key: list(pictures), "trainer/global_step": trainer.global_step})


def log_chart(trainer: pl.Trainer, key: str, chart: bytes) -> None:
    """Log a drawing, an encoded PNG, at the current step of training."""
    if not runs(trainer):
        return
    import wandb

    drawn = np.asarray(cv2.imdecode(np.frombuffer(chart, np.uint8), cv2.IMREAD_COLOR))
    log_pictures(trainer, key, [wandb.Image(np.ascontiguousarray(drawn[..., ::-1]))])


def log_table(trainer: pl.Trainer, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Log a table at the current step of training."""
    for run in runs(trainer):
        import wandb

        table = wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        run.log({key: table, "trainer/global_step": trainer.global_step})
