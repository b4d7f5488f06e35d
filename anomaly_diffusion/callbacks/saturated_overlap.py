"""sPRO of data sets whose defects saturate, beside the figures of all others."""

import logging
from typing import Any

import pytorch_lightning as pl

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.measured_pixels import data_module, file_map
from anomaly_diffusion.callbacks.repeats import Repeats
from anomaly_diffusion.metrics.saturated import SaturatedOverlap
from anomaly_diffusion.types import ImageBatch, Prediction

_log = logging.getLogger(__name__)


class SaturatedOverlaps(pl.Callback):
    """Measures `spro` and `spro_05` in test, at the size of the files, where the data set knows saturations.

    That is MVTec LOCO AD. Logs `test/spro` and `test/spro_05`, and puts them beside the model's other figures in
    `AnomalyMetrics`, behind which it must stand; for all other data sets it does nothing. Memory is that of one map.
    """

    def __init__(self) -> None:
        self._metric: SaturatedOverlap | None = None
        self._repeats = Repeats()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count if the data set has saturations."""
        dataset = getattr(data_module(trainer), "dataset", None)
        self._metric = SaturatedOverlap().to(pl_module.device) if hasattr(dataset, "regions") else None
        self._repeats = Repeats()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure the maps of a batch, one after the other."""
        if self._metric is None:
            return
        prediction: Prediction = outputs
        data = data_module(trainer)
        keep = self._repeats.fresh(trainer, trainer.test_dataloaders, len(batch.path))
        for index in keep.nonzero()[:, 0].tolist():
            anomaly_map = file_map(data, prediction.anomaly_map[index], batch.size[index])
            regions = data.dataset.regions(batch.path[index], tuple(batch.size[index].tolist()))
            self._metric.update(anomaly_map[None], [regions])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures, and put them beside the others."""
        if self._metric is None:
            return
        figures = self._metric.compute()._asdict()
        self._metric = None
        for name, figure in figures.items():
            pl_module.log(f"test/{name}", figure, sync_dist=True, reduce_fx="max")
        for callback in vars(trainer)["callbacks"]:
            if isinstance(callback, AnomalyMetrics) and "test" in callback.figures:
                callback.figures["test"]["model"] |= figures
        _log.info("sPRO %.3f, up to a false-positive rate of .05: %.3f.", figures["spro"], figures["spro_05"])
