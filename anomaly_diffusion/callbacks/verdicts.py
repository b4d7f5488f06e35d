"""Verdicts: limits from held-out normal images, and what they are worth on a test set."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module, from_all_processes
from anomaly_diffusion.measures.controls import STATISTICS, statistics
from anomaly_diffusion.runs.record import LIMITS
from anomaly_diffusion.scoring.normal_scores import HELD_OUT, OF_IMAGE, NormalScores
from anomaly_diffusion.types import ImageBatch, Prediction, Verdict
from anomaly_diffusion.verdicts.anomalous_regions import cut_of, largest_mass, quantile_of
from anomaly_diffusion.verdicts.in_file import corners, in_file
from anomaly_diffusion.verdicts.judge import Judge, NormalReference
from anomaly_diffusion.verdicts.rates import rates

__all__ = ["BatchJudge", "Verdicts", "reference_of"]

_OF_TRAINING = 512  # normal images that a photograph is compared with: more of them only take more time
_LARGE = 4_000_000  # bytes
Normal = tuple[float, np.ndarray, np.ndarray]  # score, map and valid pixels of a normal image


class Verdicts(ResultCallback):
    """Finds limits on held-out normal images, and lets every judged image have a verdict.

    After each validation the scores of its normal images go into the module's `normal_scores`, and the limits into
    `image_threshold` and `pixel_threshold`, hence into its checkpoints: painted images have no say. A test or a
    prediction takes limits for its own `false_alarms` from the same scores. A test leaves `verdict.png`: scores and the
    limit, both curves with the operating point, recall by kind; a prediction leaves `limits.json`.

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
        self._of_image: Tensor | None = None  # statistics of training images, which do not change within a fit

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the training images of another fit."""
        self._of_image = None

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
        for index in (~batch.label).nonzero()[:, 0].tolist():
            values, valid = prediction.anomaly_map[index, 0].float().cpu().numpy(), batch.valid[index, 0].cpu().numpy()
            self._held_out.append((float(prediction.score[index]), _set_aside(values), _set_aside(valid)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set normal scores and limits."""
        scores = getattr(pl_module, "normal_scores", None)
        if trainer.sanity_checking or not isinstance(scores, NormalScores):
            return
        quantiles = from_all_processes([quantile_of(values, valid) for _, values, valid in self._held_out])
        if not quantiles:
            return
        cut = cut_of(np.array(quantiles))
        found = from_all_processes([_numbers(one, cut) for one in self._held_out])
        self._held_out = []
        columns = torch.tensor(found, dtype=torch.float64).unbind(1)
        if self._of_image is None:
            self._of_image = _of_training(pl_module)
        scores.set(dict(zip(HELD_OUT, columns, strict=True)), self._of_image, cut)
        self._take_limits(pl_module, data_module(trainer))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sum up what the verdicts are worth, and draw it."""
        if isinstance(self.shared.judge, BatchJudge):
            self.shared.verdicts = self.shared.judge.described() | rates(self.shared.results)
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
        scores = getattr(pl_module, "normal_scores", None)
        self.shared.judge = None
        if isinstance(scores, NormalScores) and scores.known:
            judge = Judge(reference_of(scores), self.false_alarms)
            pl_module.image_threshold.fill_(judge.limit.value)
            pl_module.pixel_threshold.fill_(judge.pixel_limit.value)
            self.shared.judge = BatchJudge(judge, data)


class BatchJudge:
    """The verdicts on a batch, regions and peaks in the pixels of the files; those on the latest one are remembered.

    Args:
        judge: of single photographs.
        data: the data module, which knows where frames lie in their files; else they are taken to show all of them.
    """

    def __init__(self, judge: Judge, data: Any) -> None:
        self.judge, self._data = judge, data
        self._latest: tuple[Prediction, list[Verdict]] | None = None

    def __call__(self, prediction: Prediction, batch: ImageBatch) -> list[Verdict]:
        """One for each image."""
        if self._latest is None or self._latest[0] is not prediction:
            self._latest = prediction, self._verdicts(prediction, batch)
        return self._latest[1]

    @property
    def cut(self) -> float:
        """What a map exceeds in a region."""
        return self.judge.reference.cut

    def described(self) -> dict[str, Any]:
        """The limits, and what they promise."""
        return self.judge.described()

    def _verdicts(self, prediction: Prediction, batch: ImageBatch) -> list[Verdict]:
        known = statistics(batch.image, batch.valid).double().cpu().numpy()
        maps, valid, masks = (
            part[:, 0].cpu().numpy() for part in (prediction.anomaly_map.float(), batch.valid, batch.mask)
        )
        said = []
        for index, (label, size) in enumerate(zip(batch.label.tolist(), batch.size.tolist(), strict=True)):
            values = dict(zip(STATISTICS, known[index].tolist(), strict=True))
            values["background"] = float(np.median(maps[index][valid[index]]))
            mask = masks[index] if label else None
            verdict = self.judge(float(prediction.score[index]), maps[index], valid[index], values, mask)
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
    score, values, valid = normal
    inside = values[valid]
    return [score, float(inside.max()), largest_mass(values, valid, cut), float(np.median(inside))]


def _of_training(pl_module: Any) -> Tensor:
    """Statistics (3, t) of training images."""
    seen: list[Tensor] = []
    for batch in pl_module.training_batches():
        seen.append(statistics(batch.image, batch.valid).double().cpu())
        if sum(map(len, seen)) >= _OF_TRAINING:
            break
    return torch.cat(seen).T
