"""The inspector: a finished run that judges photographs one by one, without a trainer and without its data."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from anomaly_diffusion import api
from anomaly_diffusion.callbacks.result_callback import compared_by
from anomaly_diffusion.callbacks.verdicts import judge_of
from anomaly_diffusion.data.batches import to_float
from anomaly_diffusion.data.progress import shown
from anomaly_diffusion.data.reading.colour import with_channels
from anomaly_diffusion.deploy.exporting.inspector_of_file import of_file
from anomaly_diffusion.deploy.given_images import GivenImage, given
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.one_or_many import one_or_many
from anomaly_diffusion.figures.result_pictures import Compared
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.types import ImageBatch, Prediction, Verdict

__all__ = ["Inspector", "Judged"]


class Judged(NamedTuple):
    """Photographs with all that is known of them.

    Attributes:
        prediction: maps, scores and reconstructions, in their frames.
        batch: the photographs in their frames.
        verdicts: on each, regions and peak in the pixels of its file.
    """

    prediction: Prediction
    batch: ImageBatch
    verdicts: list[Verdict]


class Inspector:
    """Judges photographs by a finished run: one, a list, or a stream of them.

    The same photograph gets the same score, verdict and regions as in `predict` and `test`, bit for bit on one machine,
    whatever is judged beside it; where a strategy draws noise, the name of the file decides which. Several threads may
    share an inspector; they are served one after the other.

    A run with `data.tiles` judges photographs of any size at their own resolution, in memory that grows with the
    photograph alone; where one takes long, a terminal shows how far it is.

    A run on several categories judges a photograph by the limits of its own: the one that `category` names, or else the
    one whose name a folder of its path has.

    Args:
        run: a finished run, its folder, or "last"; or an exported file, .onnx or .pt2, which is judged on the CPU.
        false_alarms: rate of normal photographs that may be called defective, in (0, 1); None: that of the run, or, if
            it names none, .01 where at least 99 normal photographs were held out, else .05.
        device: "cpu", "cuda", or another that torch knows.
        batch_size: photographs of a list or stream that are judged together, at least 1; with tiles it is 1.
        category: what all photographs show that are given without a category.

    Raises:
        FileNotFoundError: there is no such run, or it has no checkpoint.
        ValueError: its checkpoint holds no scores of normal photographs, it knows no such category, or a number lies
            outside its range.
    """

    def __new__(cls, run: Run | str | PathLike[str] = "last", *rest: Any, **named: Any) -> Any:
        """An exported file has an inspector of its own, which asks for no run."""
        return super().__new__(cls) if isinstance(run, Run) else of_file(run, *rest, **named) or super().__new__(cls)

    def __init__(
        self,
        run: Run | str | PathLike[str] = "last",
        false_alarms: float | None = None,
        device: str = "cpu",
        batch_size: int = 4,
        category: str | None = None,
    ) -> None:
        if false_alarms is not None and not 0 < false_alarms < 1:
            raise ValueError(f"`false_alarms` must lie in (0, 1), got {false_alarms}.")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.run = run if isinstance(run, Run) else Run(run_folder.find(str(run), Path("runs")))
        self.device = torch.device(device)
        self._detector = api.load(self.run).to(self.device)
        self._detector.watch = partial(shown, task="Judging tiles")
        self._categories, self.category = self._detector.categories, category
        if category is not None:
            self._categories.number(category)
        self._data = api.framing(self.run)
        self.batch_size = 1 if self._data.tiles else batch_size
        of_run = (self.run.config.get("verdicts") or {}).get("false_alarms")
        judge = judge_of(self._detector, false_alarms or of_run, self._data)
        if judge is None:
            raise ValueError(
                f"The checkpoint of {self.run.folder} holds no scores of normal photographs, so nothing has a limit. "
                f"Go on with it: anomaly-diffusion train --resume {self.run.folder}"
            )
        self._judge = judge
        self._one_at_a_time = Lock()  # the detector sets the threads of torch, and the judge keeps what it said last

    @property
    def limits(self) -> dict[str, Any]:
        """The limits, and what they promise: as "verdicts" in `summary.json`; of one category, if it was chosen."""
        return self._judge.described() if self.category is None else self._judge.of(self.category).described()

    @property
    def normal_scores(self) -> Float[np.ndarray, " n"]:
        """Scores of held-out normal photographs, from which `verdicts.conformal.Limit` finds a limit for any rate.

        Raises:
            ValueError: the run knows several categories, and none was chosen.
        """
        self._categories.chosen(self.category)
        return self._judge.of(self.category or "").reference.scores

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that are judged by limits of their own; none where all photographs have the same."""
        return self._categories.names if len(self._categories) else ()

    def __call__(self, image: Any, category: str | None = None) -> Any:
        """Judge one photograph, or several.

        Args:
            image: a path; a picture of Pillow; an array (H, W) or (H, W, channels), RGB, of uint8, uint16 or of floats
                in [0, 1]; a tensor (H, W) or (channels, H, W). A list or tuple of them, or an iterator.
            category: what it shows, or all of them; as of `take`.

        Returns:
            An `Inspection`; of a list, a list of them; of an iterator, an iterator, which reads ahead no further than
            `batch_size`.

        Raises:
            BadImages: a file cannot be used.
            TypeError: it is nothing of the kind.
            ValueError: its shape or its values are not those of a photograph, or nobody knows what it shows.
        """
        return one_or_many(image, partial(self._inspected, category=category), self.batch_size)

    def take(self, image: Any, category: str | None = None) -> GivenImage:
        """Read a photograph as training has read its own.

        Args:
            image: as above.
            category: what it shows; None: what the inspector says, or else the folder of its path called like one.

        Raises:
            BadImages: the file cannot be used.
            TypeError: it is nothing of the kind.
            ValueError: its shape or its values are not those of a photograph, or nobody knows what it shows.
        """
        name = category if category is not None else self.category
        if name is None and len(self._categories):
            name = self._categories.of_path(str(image) if isinstance(image, str | PathLike) else "")
        return replace(given(image, self._data.dataset.white_level), category=self._categories.chosen(name))

    def judge(self, images: Sequence[GivenImage]) -> Judged:
        """Judge photographs that have been read, with all that is to be known of them.

        Args:
            images: of a run with `data.tiles` one, as each has a size of its own.
        """
        batch = self._batch(images)
        with self._one_at_a_time, torch.inference_mode():
            prediction = self._detector(batch)
            return Judged(prediction, batch, self._judge(prediction, batch))

    def whole_map(self, judged: Judged, index: int) -> Float[np.ndarray, "H W"]:
        """The map of a judged photograph at the size of its file; 0 where the frame does not show it."""
        height, width = judged.batch.size[index].tolist()
        framed = judged.prediction.anomaly_map[index].float().cpu()
        return self._data.to_original(framed, (height, width))[0].numpy()

    @property
    def one_by_one(self) -> bool:
        """Whether photographs are judged one at a time, as each has a size of its own."""
        return self._data.tiles is not None

    def cut(self, judged: Judged, index: int) -> float:
        """What the map of a judged photograph exceeds in a region."""
        return self._judge.of(judged.batch.shows[index]).reference.cut

    @property
    def compares(self) -> Compared:
        """What pictures of a judged photograph show beside it."""
        return compared_by(self._detector)

    def _inspected(self, images: Sequence[Any], category: str | None) -> list[Inspection]:
        taken = [self.take(image, category) for image in images]
        parts = [[one] for one in taken] if self.one_by_one else [taken]
        return [inspection for part in parts for inspection in self._said(part)]

    def _said(self, taken: Sequence[GivenImage]) -> list[Inspection]:
        prediction, batch, said = self.judge(taken)
        maps, scores = prediction.anomaly_map[:, 0].float().cpu().numpy(), prediction.score.tolist()
        limits = [self._judge.of(name).pixel_limit.value for name in batch.shows]
        return [
            Inspection(one.name, score, verdict, one.pixels.shape[:2], limit, framed[None], self._data.policy)
            for one, score, verdict, limit, framed in zip(taken, scores, said, limits, maps, strict=True)
        ]

    def _batch(self, images: Sequence[GivenImage]) -> ImageBatch:
        """Photographs in their frames, as the data module makes them of files."""
        channels, tiles = self._data.channels, self._data.tiles
        sizes = [tiles.frame_of(one.pixels.shape[:2]) if tiles else self._data.image_size for one in images]
        placed = [self._data.policy.place(one.pixels.shape[:2], size) for one, size in zip(images, sizes, strict=True)]
        shown = [with_channels(place.image(one.pixels), channels) for place, one in zip(placed, images, strict=True)]
        valid = torch.from_numpy(np.stack([place.valid() for place in placed]))[:, None]
        nothing = torch.zeros(len(images), dtype=torch.int64)
        batch = ImageBatch(
            to_float(np.stack(shown)),
            torch.zeros_like(valid),
            valid,
            nothing.bool(),
            torch.tensor([one.category for one in images]),
            torch.tensor([one.key for one in images]),
            torch.tensor([one.pixels.shape[:2] for one in images]),
            [one.name for one in images],
            tiles=tiles.tiling if tiles else None,
            categories=self._categories.names,
        )
        moved: ImageBatch = self._detector.transfer_batch_to_device(batch, self.device, 0)
        return moved
