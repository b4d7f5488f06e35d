"""How well each painted defect of a validation is found, by which settings are chosen, and how much of it is kept."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.result_callback import (
    ResultCallback,
    compared_by,
    data_module,
    from_all_processes,
)
from anomaly_diffusion.measures.fidelity import kept_share
from anomaly_diffusion.metrics.curves import average_precision, count_scores
from anomaly_diffusion.runs.painted_defects import PaintedDefect, as_csv, copying, mean_at_depths
from anomaly_diffusion.types import ImageBatch, Prediction

__all__ = ["PaintedDefects"]


class PaintedDefects(ResultCallback):
    """Writes `painted.csv`: photograph, family and pixel AP of each painted defect of the latest validation.

    Beside them stands which share of the defect reconstructions keep, where photographs are reconstructed and the data
    module can show the same photograph without the defect: a depth at which defects are copied can show none of them.
    Then the pixel AP of each depth's own map.

    Checkpoints keep all of it, so that a test leaves that of the weights that are tested. A defect that the frame does
    not show has no figure.
    """

    consumes_validation = True

    def __init__(self) -> None:
        super().__init__()
        self._defects: list[PaintedDefect] = []

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last validation, but not in a test, which shows what belongs to its weights."""
        if trainer.testing:
            self._share(pl_module)
        else:
            self._defects = []

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure the painted defects of a batch."""
        if trainer.testing:
            return
        painted = batch.label.nonzero()[:, 0]
        shares = _kept(trainer, pl_module, prediction.rows(painted), batch.rows(painted)) if len(painted) else []
        for index, kept in zip(painted.tolist(), shares, strict=True):
            valid = batch.valid[index, 0]
            mask = batch.mask[index, 0][valid].cpu().numpy()
            maps = torch.cat([prediction.anomaly_map[index], prediction.depth_maps[index]])[:, valid].float().cpu()
            fused, *alone = (average_precision(count_scores(values, mask)) for values in maps.numpy())
            self._defects.append(PaintedDefect(batch.path[index], batch.kinds[index], fused, tuple(kept), tuple(alone)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gather those of all processes, in an order that does not depend on who has seen them."""
        self._defects = sorted(from_all_processes(self._defects), key=lambda one: (one.path, one.family, str(one)))
        self._share(pl_module)
        if trainer.state.fn == "validate":
            self._write(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write those of the weights that were tested."""
        self._share(pl_module)
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Those of the latest validation."""
        return {"defects": [tuple(defect) for defect in self._defects]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take those that belong to the checkpoint."""
        self._defects = [PaintedDefect(*defect) for defect in state_dict["defects"]]

    def _share(self, pl_module: pl.LightningModule) -> None:
        """Let `RunCard` tell what is copied, and `DepthCurve` by which depths these defects are found."""
        depths = tuple(getattr(pl_module, "depths", ()))
        self.shared.copying = copying(self._defects, depths)
        self.shared.painted_at_depths = mean_at_depths(self._defects, len(depths))

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self._defects and not trainer.sanity_checking:
            files.write(Path(trainer.default_root_dir) / "painted.csv", as_csv(self._defects))


def _kept(
    trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
) -> list[list[float]]:
    """What share of each defect the reconstruction of each depth keeps; nothing where that has no meaning."""
    data = data_module(trainer)
    compared = compared_by(pl_module)
    known = compared.photographs and compared.depths and hasattr(data, "unpainted")
    clean = data.unpainted(batch.path) if known else None
    if clean is None:
        return [[] for _ in batch.path]
    shares = kept_share(clean.to(batch.image), batch.image, prediction.reconstruction.float(), batch.mask)
    kept: list[list[float]] = shares.tolist()
    return kept
