"""Predictions of an exported file, without torch."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.region_mask import region_mask
from anomaly_diffusion.deploy.given_images import GivenImage
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.predicting.predictor import LIMIT, Predictor, Taken
from anomaly_diffusion.runtime.inspector import ExportedInspector
from anomaly_diffusion.verdict_records import ImageResult

__all__ = ["FilePredictor"]


class FilePredictor(Predictor):
    """Judges by an exported file; as it holds no reconstruction, there is no sheet.

    Args:
        inspector: of the file.
        folder: where `masks/` and `overlays/` go.
        masks: whether the regions of each verdict are written.
        overlays: whether each map is written over its photograph.
    """

    def __init__(self, inspector: ExportedInspector, folder: Path, masks: bool = False, overlays: bool = False) -> None:
        self.inspector, self.folder = inspector, folder
        self.masks, self.overlays = masks, overlays
        self.at_once, self.limits = inspector.batch_size, inspector.limits

    def take(self, path: Path) -> GivenImage:
        """Read a photograph as training has read its own."""
        return self.inspector.take(path)

    def __call__(self, some: Sequence[Taken]) -> list[ImageResult]:
        """Judge them side by side."""
        start = time.perf_counter()
        found = self.inspector.judge([one.image for one in some])
        seconds = (time.perf_counter() - start) / len(some)
        for one, inspection in zip(some, found, strict=True):
            self._draw(one, inspection)
        return [_result(one.path, inspection, seconds) for one, inspection in zip(some, found, strict=True)]

    def _draw(self, one: Taken, inspection: Inspection) -> None:
        name = f"{files.safe_name(one.path)}.png"
        if self.masks:
            content = region_mask(inspection.map, self.inspector.cut, inspection.verdict)
            files.write(self.folder / "masks" / name, content)
        if self.overlays:
            from anomaly_diffusion.figures.tiles import overlay_file  # loads matplotlib

            image = np.asarray(one.image.pixels, np.float32) / 255
            files.write(self.folder / "overlays" / name, overlay_file(image, inspection.map, LIMIT))


def _result(path: str, inspection: Inspection, seconds: float) -> ImageResult:
    """A line of `predictions.csv`."""
    values = inspection.framed_values
    statistics = float(values.max()), float(values.mean()), float(np.quantile(values, 0.99))
    return ImageResult(path, None, "", 0.0, inspection.score, *statistics, seconds, verdict=inspection.verdict)
