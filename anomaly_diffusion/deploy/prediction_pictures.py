"""Pictures of what was predicted: a sheet of the highest scores; masks and overlays at the size of the files."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.region_mask import region_mask
from anomaly_diffusion.callbacks.sheets import MOST, Shown, highest, write_sheet
from anomaly_diffusion.data.reading.photographs import Pixels
from anomaly_diffusion.deploy.inspector import Inspector, Judged
from anomaly_diffusion.deploy.predicting.predictor import LIMIT
from anomaly_diffusion.figures.result_pictures import result_pictures
from anomaly_diffusion.measures.failures import Worst
from anomaly_diffusion.types import ImageResult

__all__ = ["PredictionPictures"]

_COUNT = 8  # images on the sheet where fewer are called defective


class PredictionPictures:
    """Keeps the images of highest score for a sheet, and writes the files of single images at once.

    Args:
        inspector: that judges.
        folder: where `panels/`, `masks/` and `overlays/` go.
        masks: whether the regions of each verdict are written.
        overlays: whether each map is written over its photograph.
    """

    def __init__(self, inspector: Inspector, folder: Path, masks: bool = False, overlays: bool = False) -> None:
        self.inspector, self.folder = inspector, folder
        self.masks, self.overlays = masks, overlays
        self._highest: Worst[Shown] = Worst(MOST)

    def add(self, judged: Judged, index: int, result: ImageResult, pixels: Pixels) -> None:
        """Take in one judged photograph.

        Args:
            judged: it and others.
            index: which of them.
            result: what was found in it.
            pixels: the photograph.
        """

        def shown() -> Shown:
            compared = self.inspector.compares
            pictures = result_pictures(judged.prediction, judged.batch, index, compared=compared)
            return Shown([replace(pictures, path=result.path)], result)

        self._highest.offer(result.score, result.path, shown)
        if not (self.masks or self.overlays):
            return
        name, values = f"{files.safe_name(result.path)}.png", self.inspector.whole_map(judged, index)
        if self.masks:
            content = region_mask(values, self.inspector.cut(judged, index), judged.verdicts[index])
            files.write(self.folder / "masks" / name, content)
        if self.overlays:
            from anomaly_diffusion.figures.tiles import overlay_file  # loads matplotlib

            files.write(self.folder / "overlays" / name, overlay_file(_unit(pixels), values, LIMIT))

    def finish(self) -> Path | None:
        """Write the sheet and return where it lies; None without any photograph."""
        kept = [shown for _, _, shown in self._highest.kept()]
        write_sheet(self.folder, "predict", *highest(kept, _COUNT), LIMIT)
        return self.folder / "panels" / "predict.png" if kept else None


def _unit(pixels: Pixels) -> np.ndarray:
    return np.asarray(pixels, np.float32) / 255
