"""Where a detector fails, by what names, how badly, and on which images."""

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy import ndarray
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import map_files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.processes import from_all_processes
from anomaly_diffusion.callbacks.repeats import Repeats
from anomaly_diffusion.measures import failure_measures
from anomaly_diffusion.measures.failure_measures import COLUMNS, FailureRow
from anomaly_diffusion.measures.failures import FAILURES, Failure, Worst, summary
from anomaly_diffusion.measures.mean_spectra import SpectraSum, spectra_of
from anomaly_diffusion.runs.defect_sizes import by_contrast, by_size
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction


@dataclass(frozen=True)
class Case:
    """One image that failed, small enough to be kept: pictures in bytes, without padding."""

    row: FailureRow
    image: ndarray
    mask: ndarray
    reference: ndarray
    reconstruction: ndarray
    anomaly_map: ndarray


class FailureAnalysis(pl.Callback):
    """Writes `failures.csv`, `failures.json`, `spectra.png` and pictures of the worst cases after a test.

    `failures.csv` has a line per image (see `FailureRow`), `failures.json` what they amount to, power by frequency and
    depth, and which defects are found by size and by contrast; pictures are `failures/<name>.png` (see `FAILURES`).
    Reconstructions are those of the middle depth; what depth does to detection is in `depths.csv` (see `DepthCurve`).

    Where a codec shows false colours, as that of features does, nothing is measured on pictures: what remains is what
    the maps say. Memory grows by a line per image only.

    Args:
        worst: number of images shown of each failure, at least 1.
        margin: pixels that are no farther from a defect, along rows and columns, count as neither, >= 0.
        limit: where the colour scale of maps ends, in standard deviations of normal images, > 0.
    """

    def __init__(self, worst: int = 4, margin: int = 8, limit: float = 8.0) -> None:
        if margin < 0:
            raise ValueError(f"`margin` must not be negative, got {margin}.")
        if limit <= 0:
            raise ValueError(f"`limit` must be positive, got {limit}.")
        self.worst, self.margin, self.limit = worst, margin, limit
        self._begin()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count."""
        self._begin()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure a batch, and keep its images if they are among the worst."""
        keep = self._repeats.fresh(trainer, trainer.test_dataloaders, len(batch.label))
        if not keep.all():
            outputs, batch = _rows(outputs, keep), batch.rows(keep)
        if batch.path:
            self._measure(outputs, batch, _photographs(pl_module))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring together what all processes have found, and write it down."""
        rows = sorted(from_all_processes(self._rows), key=lambda row: row.path)
        powers = [some for some in from_all_processes([self._powers]) if some is not None and some.count]
        cases = {failure.name: self._worst_of_all(failure) for failure in FAILURES}
        self._begin()
        if not trainer.is_global_zero or not rows:
            return
        folder = Path(trainer.default_root_dir)
        power = sum(powers[1:], start=powers[0]) if powers else None
        files.write(folder / "failures.csv", failure_measures.as_csv(rows))
        wb.log_table(trainer, "failures", COLUMNS, [astuple(row) for row in rows])
        files.write_json(folder / "failures.json", self._report(pl_module, rows, power, cases))
        self._draw(folder, pl_module, power, cases)

    def _begin(self) -> None:
        self._rows: list[FailureRow] = []
        self._powers: SpectraSum | None = None
        self._worst: dict[str, Worst[Case]] = {failure.name: Worst(self.worst) for failure in FAILURES}
        self._repeats = Repeats()

    def _measure(self, prediction: Prediction, batch: ImageBatch, photographs: bool) -> None:
        where = failure_measures.places(batch, self.margin)
        powers = spectra_of(batch, prediction, where.normal) if photographs else None
        depth = prediction.reconstruction.shape[1] // 2
        rows = failure_measures.failure_rows(prediction, batch, where, powers, depth)
        self._rows += rows
        if powers is not None:
            seen = powers.over(~batch.label)
            self._powers = seen if self._powers is None else self._powers + seen
        for index, row in enumerate(rows):
            for failure in FAILURES:
                make = partial(_case, row, prediction, batch, index, depth)
                self._worst[failure.name].offer(failure.severity(row), row.path, make)

    def _worst_of_all(self, failure: Failure) -> list[tuple[float, Case]]:
        """Severity and case, worst first."""
        whole: Worst[Case] = Worst(self.worst)
        for severity, name, case in from_all_processes(self._worst[failure.name].kept()):
            whole.offer(severity, name, partial(_itself, case))
        return [(severity, case) for severity, _, case in whole.kept()]

    def _report(
        self,
        pl_module: pl.LightningModule,
        rows: Sequence[FailureRow],
        power: SpectraSum | None,
        cases: dict[str, list[tuple[float, Case]]],
    ) -> dict[str, Any]:
        threshold = float(getattr(pl_module, "image_threshold", math.nan))
        lines = [
            ImageResult(row.path, row.label, row.kind, row.defect_share, row.score, measures={column: contrast})
            for row in rows
            for column, contrast in [("defect_contrast", row.defect_contrast)]
        ]
        found = {"by_size": by_size, "by_contrast": by_contrast}
        worst = {
            name: [{"path": case.row.path, "severity": severity} for severity, case in kept]
            for name, kept in cases.items()
        }
        return {
            "photographs": _photographs(pl_module),
            "depth": _depth(pl_module),
            "margin": self.margin,
            **summary(rows),
            "found": {name: [asdict(one) for one in of(lines, threshold=threshold)] for name, of in found.items()},
            "worst": worst,
            "spectra": None if power is None else power.as_dict(_names(pl_module, len(power.total) - 2)),
        }

    def _draw(
        self,
        folder: Path,
        pl_module: pl.LightningModule,
        power: SpectraSum | None,
        cases: dict[str, list[tuple[float, Case]]],
    ) -> None:
        from anomaly_diffusion.figures.contact_sheet import contact_sheet
        from anomaly_diffusion.figures.spectra_chart import spectra_chart

        if power is not None:
            image, reference, reconstruction = power.mean()
            named = zip(_names(pl_module, len(reconstruction)), (one.numpy() for one in reconstruction), strict=True)
            title = f"mean radial power spectrum of {power.count} normal test images"
            drawn = power.frequencies().numpy(), image.numpy(), reference.numpy(), dict(named), title
            files.write(folder / "spectra.png", spectra_chart(*drawn))
        note = "" if _photographs(pl_module) else " (pictures: false colours)"
        for failure in FAILURES:
            panels = [_panel(failure, case) for _, case in cases[failure.name]]
            if panels:
                content = contact_sheet(panels, failure.title + note, self.limit)
                files.write(folder / "failures" / f"{failure.name}.png", content)


def _photographs(pl_module: Any) -> bool:
    """Whether the pictures of a detector are photographs."""
    return bool(getattr(getattr(pl_module, "codec", None), "photographs", True))


def _depth(pl_module: Any) -> float | None:
    """The depth of the reconstructions that are looked at, if it means anything."""
    depths = tuple(getattr(pl_module, "depths", ()))
    return depths[len(depths) // 2] if depths else None


def _names(pl_module: Any, count: int) -> list[str]:
    depths = tuple(getattr(pl_module, "depths", ()))
    if len(depths) == count:
        return [f"depth {depth:g}" for depth in depths]
    return [f"reconstruction {number}" if count > 1 else "reconstruction" for number in range(1, count + 1)]


def _rows(prediction: Prediction, keep: Tensor) -> Prediction:
    """The verdict on the images that `keep` names."""
    kept = {name: value[keep] for name, value in vars(prediction).items() if isinstance(value, Tensor)}
    return Prediction(**kept, nfe=prediction.nfe)


def _itself(case: Case) -> Case:
    return case


def _case(row: FailureRow, prediction: Prediction, batch: ImageBatch, index: int, depth: int) -> Case:
    rows, columns = map_files.box(batch.valid[index])

    def cut(tensor: Tensor) -> ndarray:
        values: ndarray = tensor[..., rows, columns].detach().float().cpu().numpy()
        return values

    return Case(
        row=row,
        image=_bytes(cut(batch.image[index])),
        mask=cut(batch.mask[index])[0] > 0,
        reference=_bytes(cut(prediction.reference[index])),
        reconstruction=_bytes(cut(prediction.reconstruction[index, depth])),
        anomaly_map=cut(prediction.anomaly_map[index])[0].astype(np.float16),
    )


def _bytes(image: ndarray) -> ndarray:
    """From [-1, 1] with channels first to 0 to 255 with channels last."""
    return np.rint((np.moveaxis(image.clip(-1, 1), 0, -1) + 1) * 127.5).astype(np.uint8)


def _panel(failure: Failure, case: Case) -> Any:
    from anomaly_diffusion.figures.contact_sheet import Panel, Row

    image, reference, reconstruction = (
        picture.astype(np.float32) / 255 for picture in (case.image, case.reference, case.reconstruction)
    )
    row = Row(reconstruction, case.anomaly_map.astype(np.float32))
    return Panel(image, case.mask, [row], case.row.path, failure.verdict(case.row), reference=reference)
