"""What `predict` asks of a finished run."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from anomaly_diffusion.deploy.given_images import GivenImage
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.deploy.prediction_pictures import PredictionPictures
from anomaly_diffusion.runs.image_results import image_results, unlabelled
from anomaly_diffusion.types import ImageResult

__all__ = ["RunPredictor"]


class RunPredictor:
    """Judges photographs by a run, and draws those of the highest scores.

    Args:
        inspector: that judges.
        pictures: what is drawn; None: nothing.
    """

    def __init__(self, inspector: Inspector, pictures: PredictionPictures | None) -> None:
        self._inspector, self._pictures = inspector, pictures

    @property
    def together(self) -> int:
        """How many photographs may be judged side by side."""
        return self._inspector.batch_size

    def take(self, path: Path) -> GivenImage:
        """Read a photograph; raises BadImages where it cannot be used."""
        return self._inspector.take(path)

    def __call__(self, paths: Sequence[str], images: Sequence[GivenImage]) -> list[ImageResult]:
        """Judge photographs, and write the pictures that each has of its own.

        Args:
            paths: as results name them.
            images: that were taken.
        """
        start = time.perf_counter()
        judged = self._inspector.judge(images)
        seconds = time.perf_counter() - start
        found = unlabelled(image_results(judged.prediction, judged.batch, seconds, judged.verdicts))
        results = [replace(result, path=path) for result, path in zip(found, paths, strict=True)]
        if self._pictures is not None:
            for index, (result, image) in enumerate(zip(results, images, strict=True)):
                self._pictures.add(judged, index, result, image.pixels)
        return results

    def finish(self) -> None:
        """Write the sheet."""
        if self._pictures is not None:
            self._pictures.finish()
