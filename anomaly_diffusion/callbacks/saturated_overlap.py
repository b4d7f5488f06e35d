"""sPRO of data sets whose defects saturate, beside the figures of all others."""

import logging

import pytorch_lightning as pl

from anomaly_diffusion.callbacks.measured_pixels import file_map
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module
from anomaly_diffusion.metrics.saturated import SaturatedOverlap
from anomaly_diffusion.types import ImageBatch, Prediction

_log = logging.getLogger(__name__)


class SaturatedOverlaps(ResultCallback):
    """Measures `spro` and `spro_05` in test, at the size of the files, where the data set knows saturations.

    That is MVTec LOCO AD. Logs `test/spro` and `test/spro_05`, and puts them beside the model's other figures, so that
    it must stand behind `AnomalyMetrics`; for all other data sets it does nothing. Memory is that of one map.
    """

    def __init__(self) -> None:
        super().__init__()
        self._metric: SaturatedOverlap | None = None

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count if the data set has saturations."""
        dataset = getattr(data_module(trainer), "dataset", None)
        self._metric = SaturatedOverlap().to(pl_module.device) if hasattr(dataset, "regions") else None

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure the maps of a batch, one after the other."""
        if self._metric is None:
            return
        data = data_module(trainer)
        for anomaly_map, size, path in zip(prediction.anomaly_map, batch.size, batch.path, strict=True):
            regions = data.dataset.regions(path, tuple(size.tolist()))
            self._metric.update(file_map(data, anomaly_map, size)[None], [regions])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures, and put them beside the others."""
        if self._metric is None:
            return
        figures = self._metric.compute()._asdict()
        self._metric = None
        for name, figure in figures.items():
            pl_module.log(f"test/{name}", figure, sync_dist=True, reduce_fx="max")
        if "test" in self.shared.figures:
            self.shared.figures["test"]["model"] |= figures
        _log.info("sPRO %.3f, up to a false-positive rate of .05: %.3f.", figures["spro"], figures["spro_05"])
