"""Pictures of what was found, and the maps themselves if asked for."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.image_files import at_original_size, npy, scale_note, tiff
from anomaly_diffusion.callbacks.region_mask import region_mask
from anomaly_diffusion.callbacks.result_callback import ResultCallback, compared_by, data_module, from_all_processes
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.callbacks.sheets import MOST, Shown, captions, highest, write_sheet
from anomaly_diffusion.callbacks.verdicts import BatchJudge
from anomaly_diffusion.figures.result_pictures import Compared, by_depth, cut, pixels, result_pictures
from anomaly_diffusion.measures.failures import Worst
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

WRITERS = {"npy": npy, "tiff": tiff}


class ResidualMaps(ResultCallback):
    """Draws panels image | reconstruction | difference | map, with the true defect's contour, into `<run>/panels`.

    `test.png` and `val.png` are contact sheets, `test-001.png` and so on show single images, which `test.json` names.
    Tiles of the images of a test or prediction are in `tiles/`. Where features are compared, panels are image |
    features | normal features | map. Images are chosen by kind and place only (see `DisplaySampler`); all sheets share
    one colour scale. Under several processes the first one shows its share of the images, and each writes the raw maps
    of its own.

    `predict.png` and so on show the images of highest score, in that order: all that are called defective, up to 100,
    and at least `count` images.

    Args:
        count: number of images shown, at least 1.
        per_depth: add a row for each depth.
        raw: write every map of test and predict into `<run>/maps`, as float32 "npy" or 16-bit "tiff"; None for neither.
        original_size: stretch the raw maps to the size of the image files.
        limit: where the colour scale ends, in standard deviations of normal images, > 0.
        masks: write the regions of every verdict of test and predict into `<run>/masks`: 255 inside, at the size of
            the file; needs limits.
        overlays: write every map of test and predict over its photograph into `<run>/overlays`, at the same size.
    """

    consumes_validation = consumes_predict = True

    def __init__(
        self,
        count: int = 8,
        per_depth: bool = False,
        raw: Literal["npy", "tiff"] | None = None,
        original_size: bool = False,
        limit: float = 8.0,
        masks: bool = False,
        overlays: bool = False,
    ) -> None:
        if raw not in (None, *WRITERS):
            raise ValueError(f"`raw` must be null, npy or tiff, got {raw}.")
        if limit <= 0:
            raise ValueError(f"`limit` must be positive, got {limit}.")
        super().__init__()
        self.count, self.per_depth, self.raw = count, per_depth, raw
        self.original_size, self.limit = original_size, limit
        self.masks, self.overlays = masks, overlays
        self._forget()

    def _forget(self) -> None:
        self._sampler: DisplaySampler[Shown] = DisplaySampler(self.count)
        self._highest: Worst[Shown] = Worst(max(MOST, self.count))

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new choice.

        Raises:
            ValueError: masks are asked for of a run without limits.
        """
        self._forget()
        if self.masks and _judged(trainer) and not isinstance(self.shared.judge, BatchJudge):
            raise ValueError(
                "`masks` show the regions of verdicts, but no limit is known. Validate the run first: "
                f"anomaly-diffusion validate --run_folder {trainer.default_root_dir}"
            )

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Consider the images of a batch, and write its files but for validation.

        All defects of a validation are painted ones, whatever folder the photograph is from.
        """
        compared, judged = compared_by(pl_module), _judged(trainer)
        for index, result in enumerate(self._results(trainer, prediction, batch)):
            make = partial(self._shown, prediction, batch, index, result, compared)
            if trainer.predicting:
                self._highest.offer(result.score, result.path, make)
            else:
                self._sampler.offer(result.kind, bool(result.label), make)
            if judged:
                self._write_files(trainer, prediction, batch, index, result)
        if judged and self.raw == "tiff":
            files.write_json(Path(trainer.default_root_dir) / "maps" / "scale.json", scale_note())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet of the latest validation, by the limits that it has set."""
        if not trainer.sanity_checking:
            chosen = [self._judged_late(shown) for shown in self._sampler.chosen()]
            self._draw(trainer, "val", chosen, _headline(trainer, pl_module, "val"))

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet, the single panels and their tiles, and send the images to the logger."""
        chosen = self._sampler.chosen()
        self._draw(trainer, "test", chosen, _headline(trainer, pl_module, "test"))
        if not trainer.is_global_zero:
            return
        if wb.runs(trainer):
            frame = tuple(np.max([shown.rows[0].mask.shape for shown in chosen], axis=0)) if chosen else (0, 0)
            drawn = [_logged(shown, frame, self._pixel_limit(pl_module, shown)) for shown in chosen]
            wb.log_pictures(trainer, "test/panels", drawn)

    def _pixel_limit(self, pl_module: pl.LightningModule, shown: Shown) -> float:
        """Of the category that an image shows; the module's own where nothing judges."""
        if isinstance(self.shared.judge, BatchJudge):
            return self.shared.judge.of(shown.result.category).pixel_limit.value
        return float(getattr(pl_module, "pixel_threshold"))  # noqa: B009  a buffer, which mypy takes for a module

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet, the single panels and their tiles, those called defective first."""
        whole: Worst[Shown] = Worst(max(MOST, self.count))
        for score, path, shown in from_all_processes(self._highest.kept()):
            whole.offer(score, path, partial(_itself, shown))
        self._draw(trainer, "predict", *highest([shown for _, _, shown in whole.kept()], self.count))

    def _results(self, trainer: pl.Trainer, prediction: Prediction, batch: ImageBatch) -> list[ImageResult]:
        """What is said of each image of a batch, without its numbers."""
        judge = self.shared.judge if _judged(trainer) else None
        verdicts = judge(prediction, batch) if judge else [None] * len(batch.path)
        results = []
        for index, (path, kind, category) in enumerate(zip(batch.path, batch.kinds, batch.shows, strict=True)):
            label = None if trainer.predicting else int(batch.label[index])
            kind = "" if label is None else kind if _judged(trainer) else "painted" if label else "good"
            score = float(prediction.score[index])
            said = verdicts[index]
            results.append(ImageResult(path, label, kind, math.nan, score, category=category, verdict=said))
        return results

    def _shown(
        self, prediction: Prediction, batch: ImageBatch, index: int, result: ImageResult, compared: Compared
    ) -> Shown:
        """An image to be kept."""
        if self.per_depth:
            rows = by_depth(prediction, batch, index, compared)
        else:
            rows = [result_pictures(prediction, batch, index, compared=compared)]
        if result.verdict is not None or result.label is None:
            return Shown(rows, result)
        one = torch.tensor([index])
        alone = prediction.rows(one)
        if batch.tiles:  # of pictures nothing is asked any more, and these may be large
            alone = replace(alone, reference=_blank(alone.reference), reconstruction=_blank(alone.reconstruction))
        return Shown(rows, result, (alone, batch.rows(one)))

    def _judged_late(self, shown: Shown) -> Shown:
        """The same with a verdict, where a limit is known by now."""
        if shown.unjudged is None or self.shared.judge is None:
            return shown
        return replace(shown, result=replace(shown.result, verdict=self.shared.judge(*shown.unjudged)[0]))

    def _write_files(
        self, trainer: pl.Trainer, prediction: Prediction, batch: ImageBatch, index: int, result: ImageResult
    ) -> None:
        """The map, the mask and the overlay of one image, as far as they are asked for."""
        if not (self.raw or self.masks or self.overlays):
            return
        folder, name = Path(trainer.default_root_dir), files.safe_name(result.path)
        frame = prediction.anomaly_map[index]
        whole = frame
        if self.original_size or self.masks or self.overlays:
            whole = _at_original_size(trainer, frame, batch, index)
        if self.raw is not None:
            values = (whole if self.original_size else frame)[0].float().cpu().numpy()
            files.write(folder / "maps" / f"{name}.{self.raw}", WRITERS[self.raw](values))
        values = whole[0].float().cpu().numpy()
        if self.masks and result.verdict is not None and isinstance(self.shared.judge, BatchJudge):
            cut = self.shared.judge.of(result.category).reference.cut
            files.write(folder / "masks" / f"{name}.png", region_mask(values, cut, result.verdict))
        if self.overlays:
            from anomaly_diffusion.figures.tiles import overlay_file  # loads matplotlib

            files.write(
                folder / "overlays" / f"{name}.png",
                overlay_file(_photograph(trainer, batch, index), values, self.limit),
            )

    def _draw(self, trainer: pl.Trainer, split: str, chosen: Sequence[Shown], title: str) -> None:
        if trainer.is_global_zero:
            write_sheet(Path(trainer.default_root_dir), split, chosen, title, self.limit)


def _blank(pictures: Tensor) -> Tensor:
    """Black ones of the same shape, which take no room."""
    return pictures.new_zeros(()).expand_as(pictures)


def _judged(trainer: pl.Trainer) -> bool:
    """Whether images are tested or predicted, so that limits are known before them."""
    return bool(trainer.testing or trainer.predicting)


def _photograph(trainer: pl.Trainer, batch: ImageBatch, index: int) -> np.ndarray:
    """Its file where the data module can read it again, else its frame; pixels in [0, 1]."""
    read = getattr(data_module(trainer), "test_image", None)
    if read is None:
        return pixels(cut(batch.image[index], batch.valid[index]))
    return np.asarray(read(batch.path[index]), np.float32) / 255


def _at_original_size(trainer: pl.Trainer, values: Tensor, batch: ImageBatch, index: int) -> Tensor:
    """By the data module that framed the image, if it can; otherwise by the frame's valid box."""
    height, width = batch.size[index].tolist()
    restore = getattr(data_module(trainer), "to_original", None)
    if restore is None:
        return at_original_size(values, batch.valid[index], (height, width))
    restored: Tensor = restore(values, (height, width))
    return restored


def _headline(trainer: pl.Trainer, pl_module: pl.LightningModule, split: str) -> str:
    compared = compared_by(pl_module)
    what = "reconstruction" if compared.photographs else "normal features"
    shown = f" ({what} at depth {compared.depths[0]:.3g})" if len(compared.depths) == 1 else ""
    if split == "val":
        return f"validation at step {trainer.global_step}: held-out normal images, some with painted defects{shown}"
    return f"{split}: images chosen by kind and place, not by result{shown}"


def _logged(shown: Shown, frame: tuple[int, int], pixel_limit: float) -> Any:
    """Pictures in one list must share a size in the browser: each stands in the corner of the same frame."""
    pictures, mask = shown.rows[0], shown.rows[0].mask
    image = (np.broadcast_to(pictures.image, (*mask.shape, 3)).astype(np.float32) * 255).round().astype(np.uint8)
    caption = " · ".join(filter(None, [pictures.path, *captions(shown.result)]))
    rows, columns = (whole - part for whole, part in zip(frame, mask.shape, strict=True))
    space = [(0, rows), (0, columns)]
    truth, found = (np.pad(part, space) for part in (mask, pictures.anomaly_map > pixel_limit))
    return wb.picture(np.pad(image, [*space, (0, 0)]), truth, found, caption)


def _itself(shown: Shown) -> Shown:
    return shown
