"""Base class of predictors: photographs in, results for a table out, and pictures of them on the way."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from anomaly_diffusion.deploy.given_images import GivenImage
from anomaly_diffusion.verdict_records import ImageResult

__all__ = ["LIMIT", "Predictor", "Taken"]

LIMIT = 8.0  # where the colour scale of maps ends, in standard deviations of normal images


class Taken(NamedTuple):
    """A photograph that has been read.

    Attributes:
        path: as it is told.
        image: what it shows.
    """

    path: str
    image: GivenImage


class Predictor(ABC):
    """Judges photographs a few at a time.

    Attributes:
        at_once: photographs that are judged together at most.
        limits: the limits, and what they promise: as "verdicts" in `summary.json`.
    """

    at_once: int
    limits: dict[str, Any]

    @abstractmethod
    def take(self, path: Path) -> GivenImage:
        """Read a photograph.

        Raises:
            BadImages: the file cannot be used.
        """

    @abstractmethod
    def __call__(self, some: Sequence[Taken]) -> list[ImageResult]:
        """The result of each, whose pictures are drawn as far as they are asked for."""

    def finish(self) -> Path | None:
        """Draw what all photographs are needed for; the sheet, if there is one."""
        return None
