"""Predictions of a finished run."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from anomaly_diffusion.deploy.given_images import GivenImage
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.deploy.predicting.predictor import Predictor, Taken
from anomaly_diffusion.deploy.prediction_pictures import PredictionPictures
from anomaly_diffusion.runs.image_results import image_results, unlabelled
from anomaly_diffusion.verdict_records import ImageResult

__all__ = ["RunPredictor"]


class RunPredictor(Predictor):
    """Judges by a run.

    Args:
        inspector: of the run.
        pictures: what is drawn; None: nothing.
    """

    def __init__(self, inspector: Inspector, pictures: PredictionPictures | None) -> None:
        self.inspector, self.pictures = inspector, pictures
        self.at_once, self.limits = inspector.batch_size, inspector.limits

    def take(self, path: Path) -> GivenImage:
        """Read a photograph as training has read its own."""
        return self.inspector.take(path)

    def __call__(self, some: Sequence[Taken]) -> list[ImageResult]:
        """Judge them side by side."""
        start = time.perf_counter()
        judged = self.inspector.judge([one.image for one in some])
        seconds = time.perf_counter() - start
        found = unlabelled(image_results(judged.prediction, judged.batch, seconds, judged.verdicts))
        results = [replace(result, path=one.path) for one, result in zip(some, found, strict=True)]
        if self.pictures is not None:
            for index, (one, result) in enumerate(zip(some, results, strict=True)):
                self.pictures.add(judged, index, result, one.image.pixels)
        return results

    def finish(self) -> Path | None:
        """Draw the sheet."""
        return None if self.pictures is None else self.pictures.finish()
