"""Verdicts kept in files while a test lasts, so that one that was killed goes on instead of judging again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from anomaly_diffusion import files
from anomaly_diffusion.types import ImageBatch, Prediction

__all__ = ["Recollection"]


class Recollection:
    """Gives what was found out about a photograph before, to the bit; what is new is judged, and kept.

    A photograph is one file, whole or not there; which process or batch it came to is nothing to it. Whoever looks at
    predictions sees each photograph of the test again, and need not know.

    Args:
        folder: of the files; made if missing.

    Attributes:
        spared: seconds that the photographs of the latest batch took when they were judged, which were not now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.spared = folder, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, judge: Callable[[ImageBatch], Prediction], batch: ImageBatch) -> Prediction:
        """The verdict on a batch; `judge` gives that on the photographs of which nothing is known."""
        paths = [self.folder / f"{files.safe_name(name)}.pt" for name in batch.path]
        known = [number for number, path in enumerate(paths) if path.is_file()]
        new = [number for number in range(len(paths)) if number not in known]
        self.spared = 0.0
        found = []
        if new:
            start = time.perf_counter()
            found.append(judge(batch.rows(torch.tensor(new)) if known else batch))
            seconds = (time.perf_counter() - start) / len(new)
            for row, number in enumerate(new):
                self._keep(paths[number], found[0].rows(torch.tensor([row])), batch.image[number : number + 1], seconds)
        found += [self._recalled(paths[number], batch.image[number : number + 1]) for number in known]
        return found[0] if len(found) == 1 else Prediction.cat(found).rows(torch.tensor([*new, *known]).argsort())

    def _keep(self, path: Path, prediction: Prediction, image: torch.Tensor, seconds: float) -> None:
        """Write a file; where pixels are compared, the photograph itself is at hand again when the file is read."""
        values = {name: value.cpu().clone() for name, value in vars(prediction).items() if name != "nfe"}
        if torch.equal(prediction.reference, image):
            del values["reference"]
        unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
        torch.save({**values, "nfe": prediction.nfe, "seconds": seconds}, unfinished)
        os.replace(unfinished, path)

    def _recalled(self, path: Path, image: torch.Tensor) -> Prediction:
        values = torch.load(path, map_location=image.device, weights_only=True)
        self.spared += values.pop("seconds")
        return Prediction(**{"reference": image, **values})
