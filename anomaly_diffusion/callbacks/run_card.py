"""The files of a run that people and programs read first: summary, images one by one, course of training."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module, from_all_processes
from anomaly_diffusion.callbacks.training_curve import Course
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs import parts, process
from anomaly_diffusion.runs.categories import of_one_run
from anomaly_diffusion.runs.image_results import COLUMNS, as_csv, cells, image_results, unlabelled
from anomaly_diffusion.runs.predictions import Predictions
from anomaly_diffusion.runs.tables import beaten_by, losses, summary_table, terminal_table, told
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

REDRAW_SECONDS = 30.0
_FAR_APART = 1.5  # ratio of what is left of held-out photographs and of those learnt from that is worth a line
DRAWN = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")


class RunCard(ResultCallback):
    """Writes `summary.json`, `per_image.csv` and `progress.png` into the run folder, and prints the summary table.

    Must stand before the other callbacks of this package, so that the seconds per image are the detector's alone.

    `summary.json` holds the figures of the test (null before it), those of the validation of the same weights under
    "validation", those of each category under "by_category" of both (empty where there is but one), the controls of
    both, under "pixels" the size at which pixel figures were taken and what became there of the files' defective
    regions, what `Fidelity` measures under "fidelity", limits and what came of them under "verdicts"
    (`verdicts.rates`), under "copying" how many painted defects of the validation keep more than half of themselves in
    the reconstructions of each depth, under "left" the mean squares of what reconstructions leave of the photographs
    learnt from and of those held out (of this process; empty before a validation), under "test_set" what
    `files.names_hash` makes of the names of all test images (null before a test), and the cost: `precision` of the
    trainer, `seconds_per_image` of test steps without the first batch; `train_seconds` of fitting without validation,
    `fit_seconds` with it; `peak_memory_mb` of the process and `peak_gpu_memory_mb` of its GPU. "beaten_by" says which
    control is better than the model in which figure, and by how much.

    Args:
        controls: whether the printed table has the best control of each figure, or all of them.
    """

    consumes_predict = True

    def __init__(self, controls: Literal["best", "all"] = "best") -> None:
        if controls not in ("best", "all"):
            raise ValueError(f"`controls` must be best or all, got {controls}.")
        super().__init__()
        self.controls = controls
        self._course = Course()
        self._rows: list[ImageResult] = []
        self._batches: list[tuple[int, float]] = []
        self._nfe: int | None = None
        self._clock = self._fit_clock = self._validation_clock = 0.0
        self._drawn = 0.0
        self._judged: str | None = None
        self._part: Predictions | None = None
        self._test_set: str | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse an order of callbacks in which the work of others would be counted as the detector's."""
        super().setup(trainer, pl_module, stage)
        first = self.shared.order[0]
        if first != type(self).__name__:
            raise ValueError(f"`RunCard` must stand before `{first}` in `callbacks`, or it would time {first} as well.")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of training."""
        self._fit_clock = self._drawn = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let the clock of training go on after a validation and the drawing of its pictures."""
        self._resume_training()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._course.note_loss(trainer.global_step, loss.detach())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock of training."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._validation_clock = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the figures, and draw the course now and then."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._judged = "val"
        elif not trainer.sanity_checking:
            self._course.note_figures(trainer.global_step, _logged_figures(trainer))
            if time.perf_counter() - self._drawn > REDRAW_SECONDS:
                self._draw(trainer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is known before any test."""
        self._resume_training()
        self._course.fit_seconds += time.perf_counter() - self._fit_clock
        self._fit_clock = 0.0
        self._draw(trainer)
        self._write_summary(trainer, pl_module)

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new list of images; of unknown ones, in a file where a kill leaves what was told."""
        self._rows, self._batches = [], []
        self._part = None
        if trainer.predicting:
            folder, go_on = Path(trainer.default_root_dir), bool(_judged_before(trainer))
            self._part = parts.part(folder, trainer.global_rank, go_on)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start the clock of the batch."""
        self._clock = _now(pl_module)

    on_predict_batch_start = on_test_batch_start

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Stop the clock and note the images."""
        recollection = getattr(pl_module, "recollection", None)
        seconds = _now(pl_module) - self._clock + getattr(recollection, "spared", 0.0)
        self._nfe = prediction.nfe
        self._batches.append((len(batch.path), seconds))
        judge = self.shared.judge
        results = image_results(prediction, batch, seconds, judge and judge(prediction, batch))
        if self._part is not None:
            results = unlabelled(results)
            for result in results:
                self._part.write(result)
        self._rows += results

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the list of images."""
        rows = self.shared.results = from_all_processes(self._rows)
        if trainer.is_global_zero:
            files.write(Path(trainer.default_root_dir) / "per_image.csv", as_csv(rows))
        _send(trainer, "per_image", rows)
        self._test_set = files.names_hash([row.path for row in rows])
        self._judged = "test"

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the list of images of all processes, with those told before, and say how many are called defective."""
        if self._part is not None:
            self._part.close()
            self._part = None
        rows = self.shared.results = from_all_processes(self._rows)
        if trainer.is_global_zero:
            rows = _joined(trainer, rows)
            _send(trainer, "predictions", rows)
            Console().print(_said(rows), highlight=False)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Sum up and print after every other callback has done its part."""
        judged, self._judged = self._judged, None
        if judged is None or not trainer.is_global_zero:
            return
        summary = self._write_summary(trainer, pl_module)
        shown = summary if judged == "test" else {**summary, **(summary["validation"] or {})}
        console = Console()
        title = "test" if judged == "test" else "validation, with painted defects"
        console.print(summary_table(shown, title, self.controls == "all"))
        if (by_category := of_one_run(shown)).rows:
            console.print(terminal_table(by_category))
        for line in losses(beaten_by(shown)):
            console.print(f"{line[0].upper()}{line[1:]}.", style="bold", soft_wrap=True, highlight=False, markup=False)
        for line in told(summary["verdicts"]):
            console.print(line, soft_wrap=True, highlight=False)
        if self.shared.copying:
            console.print(_copies(self.shared.copying), soft_wrap=True, highlight=False)
        if summary["left"].get("ratio", 0) > _FAR_APART:
            console.print(_left(summary["left"]), soft_wrap=True, highlight=False)
        folder = Path(trainer.default_root_dir)
        console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
        for sheet in folder.glob(f"panels/{judged}.png"):
            console.print(f"pictures:   {sheet}", soft_wrap=True, highlight=False)

    def state_dict(self) -> dict[str, Any]:
        """The course so far."""
        state = self._course.state_dict()
        if self._fit_clock:
            state["fit_seconds"] += time.perf_counter() - self._fit_clock
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, unless this process has been there."""
        if not self._course.losses:
            self._course.load_state_dict(state_dict)

    def _resume_training(self) -> None:
        if self._validation_clock:
            self._course.validation_seconds += time.perf_counter() - self._validation_clock
            self._validation_clock = 0.0

    def _draw(self, trainer: pl.Trainer) -> None:
        losses = self._course.losses
        if not trainer.is_global_zero or not (losses or self._course.figures):
            return
        from anomaly_diffusion.figures.training_chart import training_chart

        shown = [
            (step, {name: values[name] for name in DRAWN if name in values}) for step, values in self._course.figures
        ]
        files.write(Path(trainer.default_root_dir) / "progress.png", training_chart(losses, shown))
        self._drawn = time.perf_counter()

    def _write_summary(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        summary = self._figures() | {"left": _what_is_left(pl_module)} | self._cost(pl_module)
        if trainer.is_global_zero:
            files.write_json(Path(trainer.default_root_dir) / "summary.json", summary)
            for run in wb.runs(trainer):
                run.summary.update(files.finite({name: summary[name] for name in [*FIGURES, "seconds_per_image"]}))
        return summary

    def _figures(self) -> dict[str, Any]:
        splits, pixels, within = self.shared.figures, self.shared.pixels, self.shared.by_category
        test, validation = (
            _with_controls(splits.get(split, {}), pixels.get(split)) | {"by_category": within.get(split, {})}
            for split in ("test", "val")
        )
        known = validation if "val" in splits else None
        copying = [dict(zip(("depth", "copied", "of"), one, strict=True)) for one in self.shared.copying]
        others = {
            "fidelity": self.shared.fidelity, "copying": copying, "verdicts": self.shared.verdicts,
            "test_set": self._test_set,
        }  # fmt: skip
        return test | {"beaten_by": beaten_by(test), "validation": known} | others

    def _cost(self, pl_module: pl.LightningModule) -> dict[str, Any]:
        timed = self._batches[1:] or self._batches
        images, seconds = (sum(column) for column in zip(*timed, strict=True)) if timed else (0, 0.0)
        fit, validation = self._course.fit_seconds, self._course.validation_seconds
        return {
            "precision": str(pl_module.trainer.precision),
            "nfe": self._nfe,
            "seconds_per_image": seconds / images if images else None,
            "train_seconds": fit - validation if fit else None,
            "fit_seconds": fit or None,
            **process.peak_memory(),
            "parameters": sum(weight.numel() for weight in pl_module.parameters()),
            "seed": process.seed(),
            "command": process.command(sys.argv),
        }


def _judged_before(trainer: pl.Trainer) -> frozenset[str]:
    """Names of the images that an earlier start has predicted."""
    return getattr(data_module(trainer), "judged", frozenset())


def _joined(trainer: pl.Trainer, rows: Sequence[ImageResult]) -> list[ImageResult]:
    """The table of what is predicted now and of what was before, in the order of the listing."""
    folder, data, before = Path(trainer.default_root_dir), data_module(trainer), _judged_before(trainer)
    known = [result for result in parts.told(folder).values() if result.path in before] if before else []
    order = data.predicted() if hasattr(data, "predicted") else []
    return parts.joined(folder, [*known, *rows], order)


def _send(trainer: pl.Trainer, name: str, rows: Sequence[ImageResult]) -> None:
    if trainer.is_global_zero:
        wb.log_table(trainer, name, COLUMNS, [cells(row) for row in rows])


def _with_controls(figures: Mapping[str, Mapping[str, float]], pixels: Mapping[str, Any] | None) -> dict[str, Any]:
    controls = {name: dict(values) for name, values in figures.items() if name != "model"}
    model = figures.get("model", {})
    return {**{name: model.get(name) for name in FIGURES}, **model, "pixels": pixels, "controls": controls}


def _said(rows: Sequence[ImageResult]) -> str:
    """How many of some unknown images are called defective, and how many are unlike all normal ones."""
    said = [row.verdict for row in rows if row.verdict is not None]
    if not said:
        return f"{len(rows)} images, no limit known: predictions.csv, panels/"
    defective, drifted = sum(one.defective for one in said), sum(bool(one.drift) for one in said)
    lines = [f"{defective} of {len(rows)} images are called defective (score above {said[0].limit:.3g})"]
    if drifted:
        example = next(one.drift for one in said if one.drift)
        lines.append(f"{drifted} are unlike the normal ones, so limits may not hold: {example}")
    return "; ".join(lines) + ": predictions.csv, panels/"


def _copies(copying: Sequence[tuple[float, int, int]]) -> str:
    """How many painted defects stay in reconstructions, which then cannot show them."""
    told = ", ".join(f"{copied} at depth {depth:.3g}" for depth, copied, _ in copying)
    return f"of {copying[0][2]} painted defects, reconstructions copy {told}"


def _what_is_left(pl_module: pl.LightningModule) -> dict[str, float]:
    """Mean squares of what reconstructions leave of normal photographs, where a detector knows both (`Detector`)."""
    learnt_from, held_out = getattr(pl_module, "left", (None, None))
    if not learnt_from or held_out is None:
        return {}
    return {"learnt_from": learnt_from, "held_out": held_out, "ratio": held_out / learnt_from}


def _left(left: Mapping[str, float]) -> str:
    """That photographs are rebuilt better for having been learnt from."""
    return (
        f"reconstructions leave {left['ratio']:.2g} times as much of held-out photographs as of those learnt from "
        f"(mean square {left['held_out']:.2g}, {left['learnt_from']:.2g}): more photographs would help, or fewer steps"
    )


def _logged_figures(trainer: pl.Trainer) -> dict[str, float]:
    known = {name: trainer.callback_metrics.get(f"val/{name}") for name in FIGURES}
    return {name: float(value) for name, value in known.items() if value is not None and value.isfinite()}


def _now(pl_module: pl.LightningModule) -> float:
    """The time, once all work handed to an accelerator is done."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()
