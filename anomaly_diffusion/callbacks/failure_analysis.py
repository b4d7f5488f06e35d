"""Where a detector fails, by what names, how badly, and on which images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.image_files import write_tiles
from anomaly_diffusion.callbacks.result_callback import ResultCallback, compared_by, from_all_processes
from anomaly_diffusion.figures.result_pictures import ResultPictures, result_pictures
from anomaly_diffusion.measures import failure_measures
from anomaly_diffusion.measures.failures import FAILURES, Failure, Worst, summary
from anomaly_diffusion.measures.mean_spectra import SpectraSum, spectra_of
from anomaly_diffusion.runs.defect_sizes import by_contrast, by_size
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

Cases = Mapping[str, Sequence[tuple[float, ResultPictures]]]  # severity and pictures by the failure, worst first


class FailureAnalysis(ResultCallback):
    """Writes `failures.csv`, `failures.json`, `spectra.png` and pictures of the worst cases after a test.

    `failures.csv` has a line per image (see `MEASURES`), `failures.json` what they amount to, power by frequency and
    depth, how many images have failed in which way, and which defects are found by size and by contrast; pictures of
    the worst cases are `failures/<name>.png` (see `FAILURES`), none where there is no case; `tiles/` has their tiles.
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
        super().__init__()
        self.worst, self.margin, self.limit = worst, margin, limit
        self._forget()

    def _forget(self) -> None:
        self._results: list[ImageResult] = []
        self._powers: SpectraSum | None = None
        self._worst: dict[str, Worst[ResultPictures]] = {failure.name: Worst(self.worst) for failure in FAILURES}

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new count."""
        self._forget()

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Measure a batch, and keep its images if they are among the worst."""
        if not batch.path:
            return
        where = failure_measures.places(batch, self.margin)
        compared = compared_by(pl_module)
        powers = spectra_of(batch, prediction, where.normal) if compared.photographs else None
        results = self._with_verdicts(
            prediction,
            batch,
            failure_measures.measured(prediction, batch, where, powers, prediction.reconstruction.shape[1] // 2),
        )
        self._results += results
        if powers is not None:
            seen = powers.over(~batch.label)
            self._powers = seen if self._powers is None else self._powers + seen
        for index, result in enumerate(results):
            for failure in FAILURES:
                make = partial(result_pictures, prediction, batch, index, compared=compared)
                self._worst[failure.name].offer(failure.severity(result), result.path, make)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring together what all processes have found, and write it down."""
        results = sorted(from_all_processes(self._results), key=lambda result: result.path)
        powers = [some for some in from_all_processes([self._powers]) if some is not None and some.count]
        cases = {failure.name: self._worst_of_all(failure) for failure in FAILURES}
        self._forget()
        if not trainer.is_global_zero or not results:
            return
        folder = Path(trainer.default_root_dir)
        power = sum(powers[1:], start=powers[0]) if powers else None
        files.write(folder / "failures.csv", failure_measures.as_csv(results))
        wb.log_table(trainer, "failures", failure_measures.COLUMNS, [failure_measures.cells(one) for one in results])
        files.write_json(folder / "failures.json", self._report(pl_module, results, power, cases))
        if power is not None:
            _draw_spectra(folder, pl_module, power)
        self._draw_cases(folder, results, cases)

    def _with_verdicts(
        self, prediction: Prediction, batch: ImageBatch, results: Sequence[ImageResult]
    ) -> list[ImageResult]:
        """The same with what is said of them, where a limit is known."""
        judge = self.shared.judge
        verdicts = judge(prediction, batch) if judge else [None] * len(results)
        return [replace(one, verdict=verdict) for one, verdict in zip(results, verdicts, strict=True)]

    def _worst_of_all(self, failure: Failure) -> list[tuple[float, ResultPictures]]:
        """Severity and pictures, worst first."""
        whole: Worst[ResultPictures] = Worst(self.worst)
        for severity, name, pictures in from_all_processes(self._worst[failure.name].kept()):
            whole.offer(severity, name, partial(_itself, pictures))
        return [(severity, pictures) for severity, _, pictures in whole.kept()]

    def _report(
        self, pl_module: pl.LightningModule, results: Sequence[ImageResult], power: SpectraSum | None, cases: Cases
    ) -> dict[str, Any]:
        found = {"by_size": by_size, "by_contrast": by_contrast}
        worst = {
            name: [{"path": pictures.path, "severity": severity} for severity, pictures in kept]
            for name, kept in cases.items()
        }
        return {
            "photographs": compared_by(pl_module).photographs,
            "depth": _depth(pl_module),
            "margin": self.margin,
            **summary(results),
            "found": {name: [asdict(one) for one in of(results)] for name, of in found.items()},
            "failed": {
                failure.name: dict(zip(("count", "of"), failure.counted(results), strict=True)) for failure in FAILURES
            },
            "worst": worst,
            "spectra": None if power is None else power.as_dict(_names(pl_module, len(power.total) - 2)),
        }

    def _draw_cases(self, folder: Path, results: Sequence[ImageResult], cases: Cases) -> None:
        """A sheet of each failure that there is, and the tiles of each case."""
        from anomaly_diffusion.figures.contact_sheet import Panel, contact_sheet

        known = {result.path: result for result in results}
        for failure in FAILURES:
            sheet = folder / "failures" / f"{failure.name}.png"
            shown = [(pictures, known[pictures.path]) for _, pictures in cases[failure.name]]
            panels = [Panel([pictures], result.outcome, failure.verdict(result)) for pictures, result in shown]
            if not panels:
                sheet.unlink(missing_ok=True)  # of a test before
                continue
            title = "{}: {} of {}".format(failure.title, *failure.counted(results))
            files.write(sheet, contact_sheet(panels, title, self.limit))
        for pictures in {pictures.path: pictures for kept in cases.values() for _, pictures in kept}.values():
            write_tiles(folder, pictures, self.limit)


def _draw_spectra(folder: Path, pl_module: pl.LightningModule, power: SpectraSum) -> None:
    from anomaly_diffusion.figures.spectra_chart import spectra_chart

    image, reference, reconstruction = power.mean()
    named = zip(_names(pl_module, len(reconstruction)), (one.numpy() for one in reconstruction), strict=True)
    title = f"mean radial power spectrum of {power.count} normal test images"
    drawn = power.frequencies().numpy(), image.numpy(), reference.numpy(), dict(named), title
    files.write(folder / "spectra.png", spectra_chart(*drawn))


def _depth(pl_module: Any) -> float | None:
    """The depth of the reconstructions that are looked at, if it means anything."""
    depths = tuple(getattr(pl_module, "depths", ()))
    return depths[len(depths) // 2] if depths else None


def _names(pl_module: Any, count: int) -> list[str]:
    depths = tuple(getattr(pl_module, "depths", ()))
    if len(depths) == count:
        return [f"depth {depth:g}" for depth in depths]
    return [f"reconstruction {number}" if count > 1 else "reconstruction" for number in range(1, count + 1)]


def _itself(pictures: ResultPictures) -> ResultPictures:
    return pictures
