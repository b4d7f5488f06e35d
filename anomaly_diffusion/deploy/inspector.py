"""The inspector: a finished run that judges photographs one by one, without a trainer and without its data."""

from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from anomaly_diffusion import api
from anomaly_diffusion.callbacks.verdicts import BatchJudge, reference_of
from anomaly_diffusion.data.batches import to_float
from anomaly_diffusion.data.reading.colour import with_channels
from anomaly_diffusion.deploy.exporting.inspector_of_file import of_file
from anomaly_diffusion.deploy.given_images import GivenImage, given
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.types import ImageBatch
from anomaly_diffusion.verdicts.judge import Judge

__all__ = ["Inspector"]


class Inspector:
    """Judges photographs by a finished run: one, a list, or a stream of them.

    The same photograph gets the same score, verdict and regions as in `predict` and `test`, bit for bit on one machine,
    whatever is judged beside it; where a strategy draws noise, the name of the file decides which. Several threads may
    share an inspector; they are served one after the other.

    Args:
        run: a finished run, its folder, or "last"; or an exported file, .onnx or .pt2, which is judged on the CPU.
        false_alarms: rate of normal photographs that may be called defective, in (0, 1); None: .01 where at least 99
            normal photographs were held out, else .05.
        device: "cpu", "cuda", or another that torch knows.
        batch_size: photographs of a list or stream that are judged together, at least 1.

    Raises:
        FileNotFoundError: there is no such run, or it has no checkpoint.
        ValueError: its checkpoint holds no scores of normal photographs, or a number lies outside its range.
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
    ) -> None:
        if false_alarms is not None and not 0 < false_alarms < 1:
            raise ValueError(f"`false_alarms` must lie in (0, 1), got {false_alarms}.")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.run = run if isinstance(run, Run) else Run(run_folder.find(str(run), Path("runs")))
        self.batch_size, self.device = batch_size, torch.device(device)
        self._detector = api.load(self.run).to(self.device)
        scores = self._detector.normal_scores
        if not scores.known:
            raise ValueError(
                f"The checkpoint of {self.run.folder} holds no scores of normal photographs, so nothing has a limit. "
                f"Go on with it: anomaly-diffusion train --resume {self.run.folder}"
            )
        self._data = api.framing(self.run)
        self._judge = BatchJudge(Judge(reference_of(scores), false_alarms), self._data)
        self._one_at_a_time = Lock()  # the detector sets the threads of torch, and the judge keeps what it said last

    @property
    def limits(self) -> dict[str, Any]:
        """The limits, and what they promise: as "verdicts" in `summary.json`."""
        return self._judge.described()

    def __call__(self, image: Any) -> Any:
        """Judge one photograph, or several.

        Args:
            image: a path; a picture of Pillow; an array (H, W) or (H, W, channels), RGB, of uint8, uint16 or of floats
                in [0, 1]; a tensor (H, W) or (channels, H, W). A list or tuple of them, or an iterator.

        Returns:
            An `Inspection`; of a list, a list of them; of an iterator, an iterator, which reads ahead no further than
            `batch_size`.

        Raises:
            BadImages: a file cannot be used.
            TypeError: it is nothing of the kind.
            ValueError: its shape or its values are not those of a photograph.
        """
        if isinstance(image, list | tuple):
            return list(self._stream(image))
        if isinstance(image, Iterator):
            return self._stream(image)
        return self._inspected([image])[0]

    def _stream(self, images: Iterable[Any]) -> Iterator[Inspection]:
        rest = iter(images)
        while some := list(islice(rest, self.batch_size)):
            yield from self._inspected(some)

    def _inspected(self, images: list[Any]) -> list[Inspection]:
        taken = [given(image, self._data.dataset.white_level) for image in images]
        batch = self._batch(taken)
        with self._one_at_a_time, torch.inference_mode():
            prediction = self._detector(batch)
            said = self._judge(prediction, batch)
        maps, scores = prediction.anomaly_map[:, 0].float().cpu().numpy(), prediction.score.tolist()
        limit = self._judge.judge.pixel_limit.value
        return [
            Inspection(one.name, score, verdict, one.pixels.shape[:2], limit, framed[None], self._data.policy)
            for one, score, verdict, framed in zip(taken, scores, said, maps, strict=True)
        ]

    def _batch(self, images: list[GivenImage]) -> ImageBatch:
        """Photographs in their frames, as the data module makes them of files."""
        (height, width), channels = self._data.image_size, self._data.channels
        placed = [self._data.policy.place(one.pixels.shape[:2], (height, width)) for one in images]
        shown = [with_channels(place.image(one.pixels), channels) for place, one in zip(placed, images, strict=True)]
        valid = torch.from_numpy(np.stack([place.valid() for place in placed]))[:, None]
        nothing = torch.zeros(len(images), dtype=torch.int64)
        batch = ImageBatch(
            to_float(np.stack(shown)),
            torch.zeros_like(valid),
            valid,
            nothing.bool(),
            nothing,
            torch.tensor([one.key for one in images]),
            torch.tensor([one.pixels.shape[:2] for one in images]),
            [one.name for one in images],
        )
        moved: ImageBatch = self._detector.transfer_batch_to_device(batch, self.device, 0)
        return moved
