"""Verdicts: limits from held-out normal images, and what they are worth on a test set."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module, from_all_processes, numbered
from anomaly_diffusion.measures.controls import STATISTICS, statistics
from anomaly_diffusion.runs.record import LIMITS
from anomaly_diffusion.scoring.normal_scores import HELD_OUT, OF_IMAGE, NormalScores
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction, Verdict
from anomaly_diffusion.verdicts.anomalous_regions import cut_of, largest_mass, quantile_of
from anomaly_diffusion.verdicts.in_file import corners, in_file
from anomaly_diffusion.verdicts.judge import Judge, NormalReference
from anomaly_diffusion.verdicts.rates import rates

__all__ = ["BatchJudge", "Verdicts", "judge_of", "reference_of"]

_OF_TRAINING = 512  # normal images that a photograph is compared with: more of them only take more time
_LARGE = 4_000_000  # bytes
Item = TypeVar("Item")
Normal = tuple[int, float, np.ndarray, np.ndarray]  # category, score, map and valid pixels of a normal image


class Verdicts(ResultCallback):
    """Finds limits on held-out normal images, and lets every judged image have a verdict.

    After each validation the scores of its normal images go into the module's `normal_scores`, and the limits into
    `image_threshold` and `pixel_threshold`, hence into its checkpoints: painted images have no say. Where a run knows
    several categories apart, each has scores and limits of its own (and no threshold is that of all: both are NaN). A
    test or a prediction takes limits for its own `false_alarms` from the same scores. A test leaves `verdict.png`:
    scores and the limit, both curves with the operating point, recall by kind; a prediction leaves `limits.json`.

    Args:
        false_alarms: rate of normal images that may be called defective, in (0, 1); null: .01 where at least 99 normal
            images are held out, else .05.
    """

    consumes_validation = True

    def __init__(self, false_alarms: float | None = None) -> None:
        if false_alarms is not None and not 0 < false_alarms < 1:
            raise ValueError(f"`false_alarms` must lie in (0, 1), got {false_alarms}.")
        super().__init__()
        self.false_alarms = false_alarms
        self._held_out: list[Normal] = []
        self._of_image: dict[int, Tensor] = {}  # statistics of training images, which do not change within a fit

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the training images of another fit."""
        self._of_image = {}

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the last validation; in a test, take limits from the module's normal scores."""
        self._held_out = []
        self.shared.results, self.shared.verdicts = [], {}
        if not trainer.validating and not trainer.sanity_checking and not trainer.training:
            self._take_limits(pl_module, data_module(trainer))

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Likewise for unknown images."""
        self.begin(trainer, pl_module)

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Keep the maps of a validation's normal images."""
        if trainer.testing:
            return
        numbers = _numbers_of(pl_module, batch)
        for index in (~batch.label).nonzero()[:, 0].tolist():
            values, valid = prediction.anomaly_map[index, 0].float().cpu().numpy(), batch.valid[index, 0].cpu().numpy()
            score = float(prediction.score[index])
            self._held_out.append((numbers[index], score, _set_aside(values), _set_aside(valid)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set normal scores and limits, of each category that the validation shows."""
        known = _known(pl_module)
        if trainer.sanity_checking or not known:
            return
        quantiles = from_all_processes([(one[0], quantile_of(*one[2:])) for one in self._held_out])
        if not quantiles:
            return
        cuts = {number: cut_of(np.array(some)) for number, some in _grouped(quantiles).items()}
        found = from_all_processes([(one[0], _numbers(one, cuts[one[0]])) for one in self._held_out])
        self._held_out = []
        self._of_image = self._of_image or _of_training(pl_module)
        for number, rows in _grouped(found).items():
            columns = torch.tensor(rows, dtype=torch.float64).unbind(1)
            of_image = self._of_image.get(number, torch.zeros(len(OF_IMAGE), 0))
            known[number].set(dict(zip(HELD_OUT, columns, strict=True)), of_image, cuts[number])
        self._take_limits(pl_module, data_module(trainer))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum up what the verdicts are worth, and draw it."""
        if isinstance(self.shared.judge, BatchJudge):
            self.shared.verdicts = self.shared.judge.summed_up(self.shared.results)
        if trainer.is_global_zero and self.shared.results:
            from anomaly_diffusion.figures.verdict_chart import verdict_chart  # loads matplotlib

            drawn = verdict_chart(self.shared.results, self.shared.verdicts)
            files.write(Path(trainer.default_root_dir) / "verdict.png", drawn)
            wb.log_chart(trainer, "test/verdict", drawn)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the limits by which unknown images were judged."""
        if trainer.is_global_zero and isinstance(self.shared.judge, BatchJudge):
            files.write_json(Path(trainer.default_root_dir) / LIMITS, self.shared.judge.described())

    def _take_limits(self, pl_module: Any, data: Any) -> None:
        self.shared.judge = judge_of(pl_module, self.false_alarms, data)
        if self.shared.judge is not None:
            limits = self.shared.judge.thresholds
            pl_module.image_threshold.fill_(limits[0])
            pl_module.pixel_threshold.fill_(limits[1])


class BatchJudge:
    """The verdicts on a batch, regions and peaks in the pixels of the files; those on the latest one are remembered.

    Args:
        judges: of single photographs, one for each category; None for one that nothing is known of yet.
        names: of the categories; of one that stands alone it does not matter.
        data: the data module, which knows where frames lie in their files; else they are taken to show all of them.
    """

    def __init__(self, judges: Sequence[Judge | None], names: Sequence[str], data: Any) -> None:
        self._judges, self._names, self._data = judges, names, data
        self._latest: tuple[Prediction, list[Verdict]] | None = None

    def __call__(self, prediction: Prediction, batch: ImageBatch) -> list[Verdict]:
        """One for each image."""
        if self._latest is None or self._latest[0] is not prediction:
            self._latest = prediction, self._verdicts(prediction, batch)
        return self._latest[1]

    def of(self, category: str = "") -> Judge:
        """The judge of a category, by its name; where there is but one, of whatever is asked for.

        Raises:
            ValueError: nothing is known of its normal photographs.
        """
        found = self._judges[self._names.index(category) if len(self._judges) > 1 else 0]
        if found is None:
            raise ValueError(
                f"No normal photographs of {category} are known, so nothing has a limit. Validate the run."
            )
        return found

    @property
    def thresholds(self) -> tuple[float, float]:
        """The limits of scores and of maps; NaN where each category has its own."""
        judge = self.of() if len(self._judges) == 1 else None
        return (judge.limit.value, judge.pixel_limit.value) if judge else (math.nan, math.nan)

    def described(self) -> dict[str, Any]:
        """The limits, and what they promise; those of several categories below "by_category"."""
        if len(self._judges) == 1:
            return self.of().described()
        known = {name: self.of(name) for name, judge in zip(self._names, self._judges, strict=True) if judge}
        return {"by_category": {name: judge.described() for name, judge in known.items()}}

    def summed_up(self, results: Sequence[ImageResult]) -> dict[str, Any]:
        """The limits and what came of them on the photographs of a test, of all and of each category."""
        said = self.described()
        for name, limits in said.get("by_category", {}).items():
            limits |= rates([one for one in results if one.category == name])
        return said | rates(results)

    def _verdicts(self, prediction: Prediction, batch: ImageBatch) -> list[Verdict]:
        known = statistics(batch.image, batch.valid).double().cpu().numpy()
        maps, valid, masks = (
            part[:, 0].cpu().numpy() for part in (prediction.anomaly_map.float(), batch.valid, batch.mask)
        )
        said = []
        rows = zip(batch.label.tolist(), batch.size.tolist(), batch.shows, strict=True)
        for index, (label, size, category) in enumerate(rows):
            values = dict(zip(STATISTICS, known[index].tolist(), strict=True))
            values["background"] = float(np.median(maps[index][valid[index]]))
            mask = masks[index] if label else None
            verdict = self.of(category)(float(prediction.score[index]), maps[index], valid[index], values, mask)
            said.append(in_file(verdict, corners(getattr(self._data, "policy", None), size, valid[index].shape)))
        return said


def _set_aside(values: np.ndarray) -> np.ndarray:
    """The same, where it is large in a file that goes with it: maps of many photographs are kept until the end."""
    if values.nbytes < _LARGE:
        return values
    with TemporaryFile() as file:
        mapped = np.memmap(file, values.dtype, "w+", shape=values.shape)
    mapped[:] = values
    return mapped


def judge_of(pl_module: Any, false_alarms: float | None, data: Any) -> BatchJudge | None:
    """What judges by the normal scores of a detector; None where it has none.

    Args:
        pl_module: the detector.
        false_alarms: as of `Judge`.
        data: as of `BatchJudge`.
    """
    known = _known(pl_module)
    judges = [Judge(reference_of(scores), false_alarms) if scores.known else None for scores in known]
    return (
        BatchJudge(judges, getattr(getattr(pl_module, "categories", None), "names", ()), data) if any(judges) else None
    )


def _numbers_of(pl_module: Any, batch: ImageBatch) -> list[int]:
    """The number of the category of each image, as far as a module knows several apart."""
    return numbered(pl_module, batch).category.tolist() if len(_known(pl_module)) > 1 else [0] * len(batch.path)


def _known(pl_module: Any) -> list[NormalScores]:
    """The normal scores of each category of a detector; none of a module that keeps none."""
    alone = getattr(pl_module, "normal_scores", None)
    of_one = [alone] if isinstance(alone, NormalScores) else []
    return list(getattr(pl_module, "normals_of_categories", of_one))


def _grouped(pairs: Sequence[tuple[int, Item]]) -> dict[int, list[Item]]:
    """What belongs to each number, in its order."""
    groups: dict[int, list[Item]] = {}
    for number, one in pairs:
        groups.setdefault(number, []).append(one)
    return groups


def reference_of(scores: NormalScores) -> NormalReference:
    """What a judge needs of a detector's normal scores."""
    held_out = dict(zip(HELD_OUT, scores.held_out.cpu().numpy(), strict=True))
    of_image = dict(zip(OF_IMAGE, scores.of_image.cpu().numpy(), strict=True))
    return NormalReference(
        held_out["score"],
        held_out["peak"],
        held_out["mass"],
        float(scores.cut),
        of_image | {"background": held_out["background"]},
    )


def _numbers(normal: Normal, cut: float) -> list[float]:
    """Score, peak, mass and background of a normal image."""
    _, score, values, valid = normal
    inside = values[valid]
    return [score, float(inside.max()), largest_mass(values, valid, cut), float(np.median(inside))]


def _of_training(pl_module: Any) -> dict[int, Tensor]:
    """Statistics (3, t) of training images of each category."""
    seen: list[tuple[int, Tensor]] = []
    counts = dict.fromkeys(range(len(_known(pl_module))), 0)
    for batch in pl_module.training_batches():
        numbers = _numbers_of(pl_module, batch)
        seen += zip(numbers, statistics(batch.image, batch.valid).double().cpu(), strict=True)
        for number in numbers:
            counts[number] += 1
        if min(counts.values()) >= _OF_TRAINING:
            break
    return {number: torch.stack(rows).T for number, rows in _grouped(seen).items()}
