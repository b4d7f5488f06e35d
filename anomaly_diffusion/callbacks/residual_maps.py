"""Pictures of what was found, and the maps themselves if asked for."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.image_files import at_original_size, npy, scale_note, tiff, write_tiles
from anomaly_diffusion.callbacks.result_callback import ResultCallback, data_module
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.figures.result_pictures import ResultPictures, by_depth, result_pictures
from anomaly_diffusion.types import ImageBatch, Prediction

WRITERS = {"npy": npy, "tiff": tiff}


class ResidualMaps(ResultCallback):
    """Draws panels image | reconstruction | difference | map, with the true defect's contour, into `<run>/panels`.

    `test.png` and `val.png` are contact sheets, `test-001.png` and so on show single images, which `test.json` names;
    `predict` draws too. Tiles of the images of a test are in `tiles/`.
    Images are chosen by kind and place only (see `DisplaySampler`); all sheets share one colour scale. Under several
    processes the first one shows its share of the images, and each writes the raw maps of its own.

    Args:
        count: number of images shown, at least 1.
        per_depth: add a row for each depth.
        raw: write every map of test and predict into `<run>/maps`, as float32 "npy" or 16-bit "tiff"; None for neither.
        original_size: stretch the raw maps to the size of the image files.
        limit: where the colour scale ends, in standard deviations of normal images, > 0.
    """

    consumes_validation = consumes_predict = True

    def __init__(
        self,
        count: int = 8,
        per_depth: bool = False,
        raw: Literal["npy", "tiff"] | None = None,
        original_size: bool = False,
        limit: float = 8.0,
    ) -> None:
        if raw not in (None, *WRITERS):
            raise ValueError(f"`raw` must be null, npy or tiff, got {raw}.")
        if limit <= 0:
            raise ValueError(f"`limit` must be positive, got {limit}.")
        super().__init__()
        self.count, self.per_depth, self.raw = count, per_depth, raw
        self.original_size, self.limit = original_size, limit
        self._sampler: DisplaySampler[Sequence[ResultPictures]] = DisplaySampler(count)

    def begin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new choice."""
        self._sampler = DisplaySampler(self.count)

    def consume(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prediction: Prediction, batch: ImageBatch
    ) -> None:
        """Consider the images of a batch, and write its maps but for validation.

        All defects of a validation are painted ones, whatever folder the photograph is from.
        """
        judged = trainer.testing or trainer.predicting
        for index, kind in enumerate(batch.kinds):
            make = partial(self._rows, prediction, batch, index)
            self._sampler.offer(kind if judged else "painted", bool(batch.label[index]), make)
        if judged:
            self._write_maps(trainer, prediction, batch)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet of the latest validation."""
        if not trainer.sanity_checking:
            self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet, the single panels and their tiles, and send the images to the logger."""
        self._draw(trainer, pl_module, "test", singles=True)
        if not trainer.is_global_zero:
            return
        chosen = [rows[0] for rows in self._sampler.chosen()]
        for pictures in chosen:
            write_tiles(Path(trainer.default_root_dir), pictures, self.limit)
        if wb.runs(trainer):
            threshold = _threshold(pl_module, "image"), _threshold(pl_module, "pixel")
            frame = tuple(np.max([pictures.mask.shape for pictures in chosen], axis=0)) if chosen else (0, 0)
            wb.log_pictures(trainer, "test/panels", [_logged(pictures, frame, *threshold) for pictures in chosen])

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet and the single panels."""
        self._draw(trainer, pl_module, "predict", singles=True)

    def _rows(self, prediction: Prediction, batch: ImageBatch, index: int) -> Sequence[ResultPictures]:
        """The rows of a panel."""
        if self.per_depth:
            return by_depth(prediction, batch, index)
        return [result_pictures(prediction, batch, index)]

    def _write_maps(self, trainer: pl.Trainer, prediction: Prediction, batch: ImageBatch) -> None:
        if self.raw is None:
            return
        folder = Path(trainer.default_root_dir) / "maps"
        for index, path in enumerate(batch.path):
            values = prediction.anomaly_map[index]
            if self.original_size:
                values = _at_original_size(trainer, values, batch, index)
            content = WRITERS[self.raw](values[0].float().cpu().numpy())
            files.write(folder / f"{files.safe_name(path)}.{self.raw}", content)
        if self.raw == "tiff":
            files.write_json(folder / "scale.json", scale_note())

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, singles: bool = False) -> None:
        chosen = self._sampler.chosen()
        if not chosen or not trainer.is_global_zero:
            return
        from anomaly_diffusion.figures.contact_sheet import contact_sheet

        depths = [f"depth {depth:g}" for depth in getattr(pl_module, "depths", ())] if self.per_depth else []
        threshold, labelled = _threshold(pl_module, "image"), split != "predict"
        panels = [_panel(rows, ["all depths", *depths] if depths else [], threshold, labelled) for rows in chosen]
        folder = Path(trainer.default_root_dir) / "panels"
        files.write(folder / f"{split}.png", contact_sheet(panels, _headline(trainer, pl_module, split), self.limit))
        names = [f"{split}-{number:03d}.png" for number in range(1, 1 + len(panels) * singles)]
        for name, panel in zip(names, panels, strict=False):
            files.write(folder / name, contact_sheet([panel], limit=self.limit, tile=256))
        if singles:
            shown = [rows[0] for rows in chosen]
            files.write_json(folder / f"{split}.json", _contents(names, shown, threshold, labelled))


def _at_original_size(trainer: pl.Trainer, values: Tensor, batch: ImageBatch, index: int) -> Tensor:
    """By the data module that framed the image, if it can; otherwise by the frame's valid box."""
    height, width = batch.size[index].tolist()
    restore = getattr(data_module(trainer), "to_original", None)
    if restore is None:
        return at_original_size(values, batch.valid[index], (height, width))
    restored: Tensor = restore(values, (height, width))
    return restored


def _threshold(pl_module: pl.LightningModule, of: str) -> float:
    return float(getattr(pl_module, f"{of}_threshold"))


def _panel(rows: Sequence[ResultPictures], names: Sequence[str], threshold: float, labelled: bool) -> Any:
    from anomaly_diffusion.figures.contact_sheet import Panel

    score, defective, known = rows[0].score, rows[0].label, not math.isnan(threshold)
    found = score >= threshold
    verdict = f"score {score:.2f}" + (f" {'≥' if found else '<'} {threshold:.2f}" if known else "")
    if labelled:
        verdict = f"{'defective' if defective else 'normal'} · {verdict}"
    return Panel(rows, verdict, found == defective if known and labelled else None, names)


def _contents(
    names: Iterable[str], chosen: Iterable[ResultPictures], threshold: float, labelled: bool
) -> dict[str, Any]:
    """What the single panels show."""
    images = [
        {"panel": name, "path": shown.path, "score": shown.score, "label": shown.label if labelled else None}
        for name, shown in zip(names, chosen, strict=True)
    ]
    return {"threshold": threshold, "images": images}


def _headline(trainer: pl.Trainer, pl_module: pl.LightningModule, split: str) -> str:
    depths = getattr(pl_module, "depths", ())
    shown = f" (reconstruction at depth {depths[len(depths) // 2]:g})" if depths else ""
    if split == "val":
        return f"validation at step {trainer.global_step}: held-out normal images, some with painted defects{shown}"
    return f"{split}: images chosen by kind and place, not by result{shown}"


def _logged(pictures: ResultPictures, frame: tuple[int, int], image_threshold: float, pixel_threshold: float) -> Any:
    """Pictures in one list must share a size in the browser: each stands in the corner of the same frame."""
    mask = pictures.mask
    image = (np.broadcast_to(pictures.image, (*mask.shape, 3)).astype(np.float32) * 255).round().astype(np.uint8)
    caption = f"{pictures.path} · score {pictures.score:.2f}, threshold {image_threshold:.2f}"
    rows, columns = (whole - part for whole, part in zip(frame, mask.shape, strict=True))
    space = [(0, rows), (0, columns)]
    truth, found = (np.pad(part, space) for part in (mask, pictures.anomaly_map >= pixel_threshold))
    return wb.picture(np.pad(image, [*space, (0, 0)]), truth, found, caption)
