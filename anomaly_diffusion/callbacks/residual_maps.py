"""Pictures of what was found, and the maps themselves if asked for."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
from numpy import ndarray
from torch import Tensor

from anomaly_diffusion import files
from anomaly_diffusion.callbacks import map_files
from anomaly_diffusion.callbacks import weights_and_biases as wb
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.types import ImageBatch, Prediction

WRITERS = {"npy": map_files.npy, "tiff": map_files.tiff}


@dataclass(frozen=True)
class Shown:
    """One image and its verdict, on the CPU and without padding."""

    image: ndarray
    mask: ndarray
    reference: ndarray
    reconstruction: ndarray
    depth_maps: ndarray
    anomaly_map: ndarray
    score: float
    label: bool
    path: str


class ResidualMaps(pl.Callback):
    """Draws panels image | reconstruction | difference | map, with the true defect's contour, into `<run>/panels`.

    `test.png` and `val.png` are contact sheets, `test-001.png` and so on show single images, which `test.json` names;
    `predict` draws too.
    Images are chosen by kind and place only (see `DisplaySampler`); all sheets share one colour scale. Under several
    processes the first one shows its share of the images, and each writes the raw maps of its own.

    Args:
        count: number of images shown, at least 1.
        per_depth: add a row for each depth.
        raw: write every map of test and predict into `<run>/maps`, as float32 "npy" or 16-bit "tiff"; None for neither.
        original_size: stretch the raw maps to the size of the image files.
        limit: where the colour scale ends, in standard deviations of normal images, > 0.
    """

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
        self.count, self.per_depth, self.raw = count, per_depth, raw
        self.original_size, self.limit = original_size, limit
        self._spread: DisplaySampler[Shown] = DisplaySampler(count)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a new choice."""
        self._spread = DisplaySampler(self.count)

    on_test_start = on_validation_start

    on_predict_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consider the images of a batch; all its defects are painted ones, whatever folder the photograph is from."""
        self._consider(outputs, batch, painted=True)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Consider the images of a batch, and write its maps."""
        self._consider(outputs, batch)
        self._write_maps(trainer, outputs, batch)

    on_predict_batch_end = on_test_batch_end

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet of the latest validation."""
        if not trainer.sanity_checking:
            self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet and the single panels, and send the images to the logger."""
        self._draw(trainer, pl_module, "test", singles=True)
        threshold = (_threshold(pl_module, "image"), _threshold(pl_module, "pixel"))
        if wb.runs(trainer):
            chosen = list(self._spread.chosen())
            frame = tuple(np.max([shown.mask.shape for shown in chosen], axis=0)) if chosen else (0, 0)
            wb.log_pictures(trainer, "test/panels", [_logged(shown, frame, *threshold) for shown in chosen])

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the sheet and the single panels."""
        self._draw(trainer, pl_module, "predict", singles=True)

    def _consider(self, prediction: Prediction, batch: ImageBatch, painted: bool = False) -> None:
        for index, kind in enumerate(batch.kinds):
            shown = partial(_shown, prediction, batch, index)
            self._spread.offer("painted" if painted else kind, bool(batch.label[index]), shown)

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
            files.write_json(folder / "scale.json", map_files.scale_note())

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule, split: str, singles: bool = False) -> None:
        chosen = self._spread.chosen()
        if not chosen or not trainer.is_global_zero:
            return
        from anomaly_diffusion.figures.contact_sheet import contact_sheet

        depths = [f"depth {depth:g}" for depth in getattr(pl_module, "depths", ())] if self.per_depth else []
        judged = _threshold(pl_module, "image"), split != "predict"
        panels = [_panel(shown, depths, *judged) for shown in chosen]
        folder = Path(trainer.default_root_dir) / "panels"
        files.write(folder / f"{split}.png", contact_sheet(panels, _headline(trainer, pl_module, split), self.limit))
        names = [f"{split}-{number:03d}.png" for number in range(1, 1 + len(panels) * singles)]
        for name, panel in zip(names, panels, strict=False):
            files.write(folder / name, contact_sheet([panel], limit=self.limit, tile=256))
        if singles:
            files.write_json(folder / f"{split}.json", _contents(names, chosen, *judged))


def _at_original_size(trainer: pl.Trainer, values: Tensor, batch: ImageBatch, index: int) -> Tensor:
    """By the data module that framed the image, if it can; otherwise by the frame's valid box."""
    height, width = batch.size[index].tolist()
    restore = getattr(getattr(trainer, "datamodule", None), "to_original", None)
    restored: Tensor
    if restore is not None:
        restored = restore(values, (height, width))
    else:
        restored = map_files.at_original_size(values, batch.valid[index], (height, width))
    return restored


def _shown(prediction: Prediction, batch: ImageBatch, index: int) -> Shown:
    rows, columns = map_files.box(batch.valid[index])

    def cut(tensor: Tensor) -> ndarray:
        values: ndarray = tensor[index][..., rows, columns].detach().float().cpu().numpy()
        return values

    return Shown(
        image=_pixels(cut(batch.image)),
        mask=cut(batch.mask)[0] > 0,
        reference=_pixels(cut(prediction.reference)),
        reconstruction=_pixels(cut(prediction.reconstruction)),
        depth_maps=cut(prediction.depth_maps),
        anomaly_map=cut(prediction.anomaly_map)[0],
        score=float(prediction.score[index]),
        label=bool(batch.label[index]),
        path=batch.path[index],
    )


def _threshold(pl_module: pl.LightningModule, of: str) -> float:
    return float(getattr(pl_module, f"{of}_threshold"))


def _pixels(image: ndarray) -> ndarray:
    """From [-1, 1] with channels first to [0, 1] with channels last."""
    return np.moveaxis((image.clip(-1, 1) + 1) / 2, -3, -1)


def _panel(shown: Shown, depths: Iterable[str], threshold: float, labelled: bool) -> Any:
    from anomaly_diffusion.figures.contact_sheet import Panel, Row

    middle = shown.reconstruction[len(shown.reconstruction) // 2]
    rows = [Row(middle, shown.anomaly_map, "all depths" if depths else "")]
    rows += [Row(*row) for row in zip(shown.reconstruction, shown.depth_maps, depths, strict=False)]
    known = not math.isnan(threshold)
    found = shown.score >= threshold
    verdict = f"score {shown.score:.2f}" + (f" {'≥' if found else '<'} {threshold:.2f}" if known else "")
    if labelled:
        verdict = f"{'defective' if shown.label else 'good'} · {verdict}"
    correct = found == shown.label if known and labelled else None
    return Panel(shown.image, shown.mask, rows, shown.path, verdict, correct, shown.reference)


def _contents(names: Iterable[str], chosen: Iterable[Shown], threshold: float, labelled: bool) -> dict[str, Any]:
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


def _logged(shown: Shown, frame: tuple[int, int], image_threshold: float, pixel_threshold: float) -> Any:
    """Pictures in one list must share a size in the browser: each stands in the corner of the same frame."""
    image = (np.broadcast_to(shown.image, (*shown.mask.shape, 3)) * 255).round().astype(np.uint8)
    caption = f"{shown.path} · score {shown.score:.2f}, threshold {image_threshold:.2f}"
    rows, columns = (whole - part for whole, part in zip(frame, shown.mask.shape, strict=True))
    space = [(0, rows), (0, columns)]
    truth, found = (np.pad(mask, space) for mask in (shown.mask, shown.anomaly_map >= pixel_threshold))
    return wb.picture(np.pad(image, [*space, (0, 0)]), truth, found, caption)
