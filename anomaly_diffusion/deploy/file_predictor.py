"""What `predict` asks of an exported file: neither torch nor a run folder."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anomaly_diffusion import files
from anomaly_diffusion.deploy.given_images import GivenImage
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.figures.region_mask import region_mask
from anomaly_diffusion.runtime.inspector import ExportedInspector
from anomaly_diffusion.verdict_records import ImageResult

__all__ = ["FilePredictor"]


class FilePredictor:
    """Judges photographs by an exported file.

    Args:
        inspector: that judges.
        masks: the folder in which regions of each verdict are written; None: they are not.
    """

    def __init__(self, inspector: ExportedInspector, masks: Path | None) -> None:
        self._inspector, self._masks = inspector, masks

    @property
    def together(self) -> int:
        """How many photographs may be judged side by side."""
        return self._inspector.batch_size

    def take(self, path: Path) -> GivenImage:
        """Read a photograph; raises BadImages where it cannot be used."""
        return self._inspector.take(path)

    def __call__(self, paths: Sequence[str], images: Sequence[GivenImage]) -> list[ImageResult]:
        """Judge photographs, and write the mask of each.

        Args:
            paths: as results name them.
            images: that were taken.
        """
        start = time.perf_counter()
        said = self._inspector.judge(images)
        seconds = (time.perf_counter() - start) / len(images)
        for path, one in zip(paths, said, strict=True):
            if self._masks is not None:
                content = region_mask(one.map, self._inspector.description.cut, one.verdict)
                files.write(self._masks / f"{files.safe_name(path)}.png", content)
        return [_result(path, one, seconds) for path, one in zip(paths, said, strict=True)]

    def finish(self) -> None:
        """Nothing: sheets are drawn of runs, which know reconstructions."""


def _result(path: str, said: Inspection, seconds: float) -> ImageResult:
    values = said.frame_values
    statistics = float(values.max()), float(values.mean()), float(np.quantile(values, 0.99))
    return ImageResult(path, None, "", 0.0, said.score, *statistics, seconds, verdict=said.verdict)
