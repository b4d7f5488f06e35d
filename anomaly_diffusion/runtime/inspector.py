"""The inspector of exported files: framing, graph and verdict, without torch."""

from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from anomaly_diffusion.data.framing import Placement
from anomaly_diffusion.data.progress import shown
from anomaly_diffusion.data.reading.colour import with_channels
from anomaly_diffusion.deploy.given_images import GivenImage, given
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.one_or_many import one_or_many
from anomaly_diffusion.runtime.description import Description
from anomaly_diffusion.runtime.engine import Answer, Engine
from anomaly_diffusion.runtime.onnx_engine import OnnxEngine
from anomaly_diffusion.runtime.over_tiles import over_tiles
from anomaly_diffusion.verdicts.in_file import corners, in_file
from anomaly_diffusion.verdicts.judge import Judge

__all__ = ["ExportedInspector"]

_Row = tuple[np.ndarray, float, list[float]]
_TASK = "Judging tiles"
_OF_IMAGE = ("brightness", "contrast", "sharpness")  # the order of the graph's statistics


class ExportedInspector:
    """Judges photographs by an exported file: what `Inspector` says of them by the run, but for rounding.

    Several threads may share it. Where a photograph in tiles takes long, a terminal shows how far it is.

    Args:
        file: as `export` writes it, or an engine that has read it.
        false_alarms: rate of normal photographs that may be called defective, in (0, 1); None: that of the run, or, if
            it names none, .01 where at least 99 normal photographs were held out, else .05.
        batch_size: photographs of a list or stream that are judged together, at least 1; of a run with `data.tiles`,
            tiles of a photograph.

    Raises:
        ImportError: ONNX Runtime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: it is no exported file, or a number lies outside its range.
    """

    def __init__(
        self, file: str | PathLike[str] | Engine, false_alarms: float | None = None, batch_size: int = 4
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self._engine = file if isinstance(file, Engine) else OnnxEngine(file)
        self.description = Description.read(
            self._engine.description, "The file" if isinstance(file, Engine) else Path(file).name
        )
        self.batch_size, self._tiles_at_once = (1 if self.description.tiles else batch_size), batch_size
        self._policy = self.description.framing
        self._judge = Judge(self.description.reference, false_alarms or self.description.false_alarms)

    @property
    def limits(self) -> dict[str, Any]:
        """The limits, and what they promise: as "verdicts" in `summary.json`."""
        return self._judge.described()

    def __call__(self, image: Any) -> Any:
        """Judge one photograph, or several.

        Args:
            image: a path; a picture of Pillow; an array (H, W) or (H, W, channels), RGB, of uint8, uint16 or of floats
                in [0, 1]. A list or tuple of them, or an iterator.

        Returns:
            An `Inspection`; of a list, a list of them; of an iterator, an iterator, which reads ahead no further than
            `batch_size`.

        Raises:
            BadImages: a file cannot be used.
            TypeError: it is nothing of the kind.
            ValueError: its shape or its values are not those of a photograph.
        """
        return one_or_many(image, self._inspected, self.batch_size)

    def take(self, image: Any) -> GivenImage:
        """Read a photograph as training has read its own.

        Raises:
            BadImages: the file cannot be used.
            TypeError: it is nothing of the kind.
            ValueError: its shape or its values are not those of a photograph.
        """
        return given(image, self.description.white_level)

    @property
    def cut(self) -> float:
        """What a map exceeds in a region."""
        return self.description.cut

    def judge(self, taken: Sequence[GivenImage]) -> list[Inspection]:
        """Judge photographs that have been read."""
        placed = [self._placed(one) for one in taken]
        framed = [self._framed(place, one) for place, one in zip(placed, taken, strict=True)]
        valid = [place.valid() for place in placed]
        answers = self._answers(framed, valid)
        rows = zip(taken, valid, answers, strict=True)
        return [self._judged(one, inside, *answer) for one, inside, answer in rows]

    def _placed(self, one: GivenImage) -> Placement:
        size: tuple[int, int] = one.pixels.shape[:2]
        return self._policy.place(size, self.description.frame_of(size))

    def _framed(self, place: Placement, one: GivenImage) -> np.ndarray:
        return with_channels(place.image(one.pixels), self.description.channels)

    def _answers(self, framed: Sequence[np.ndarray], valid: Sequence[np.ndarray]) -> list[_Row]:
        """Map, score and statistics of each photograph."""
        tiles = self.description.tiles
        if tiles is None:
            return _rows(self._engine(np.stack(framed), np.stack(valid)))
        act = partial(over_tiles, tiles=tiles.tiling, at_once=self._tiles_at_once, watch=partial(shown, task=_TASK))
        answers = [act(self._engine, *one) for one in zip(framed, valid, strict=True)]
        return [row for answer in answers for row in _rows(answer)]

    def _inspected(self, images: Sequence[Any]) -> list[Inspection]:
        return self.judge([self.take(image) for image in images])

    def _judged(
        self, one: GivenImage, valid: np.ndarray, framed: np.ndarray, score: float, statistics: list[float]
    ) -> Inspection:
        size = one.pixels.shape[:2]
        known = dict(zip(_OF_IMAGE, statistics, strict=True)) | {"background": float(np.median(framed[valid]))}
        verdict = in_file(self._judge(score, framed, valid, known), corners(self._policy, size, valid.shape))
        limit = self._judge.pixel_limit.value
        return _Inspection(one.name, score, verdict, size, limit, framed[None], self._policy)


def _rows(answer: Answer) -> list[_Row]:
    return list(zip(answer.maps, answer.scores.tolist(), answer.statistics.tolist(), strict=True))


class _Inspection(Inspection):
    """An inspection whose map is brought to the photograph's size by OpenCV."""

    def _original(self) -> Float[np.ndarray, "H W"]:
        placement = self._policy.place(self.size, self._framed.shape[-2:])
        source, part = placement.source, self._framed[0][placement.target.slices]
        original = np.zeros(self.size, np.float32)
        original[source.slices] = cv2.resize(part, (source.width, source.height), interpolation=cv2.INTER_LINEAR)
        return original
