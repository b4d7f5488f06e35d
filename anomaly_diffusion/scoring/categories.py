"""Categories of objects that one detector knows apart: maps and scores of each are compared with normals of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import nn

from anomaly_diffusion.scoring.calibration import Calibration
from anomaly_diffusion.scoring.normal_scores import NormalScores
from anomaly_diffusion.types import ImageBatch
from anomaly_diffusion.verdict_records import UnknownCategory

__all__ = ["Categories", "OfCategory"]


class OfCategory(nn.Module):
    """What is known of normal images of one category.

    Args:
        calibration: standardises their residuals.
    """

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.calibration, self.normal_scores = calibration, NormalScores()


class Categories(nn.ModuleList):
    """What is known of each category but the first, whose calibration and normal scores are the detector's own.

    So a detector of one category, and its checkpoints, are the same as without categories. Names tell categories, never
    their order in a data set.

    Attributes:
        names: of all categories, by the numbers that a network with classes is told; empty where nobody names them.
    """

    names: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[OfCategory]:
        return super().__iter__()  # type: ignore[return-value]

    def name(self, names: Sequence[str], first: Calibration) -> None:
        """Tell which categories there are; those that were known before, by their place, stay as they are.

        Args:
            names: of all.
            first: the calibration of the first, of whose settings the others are.
        """
        self.names = tuple(names)
        del self[max(0, len(names) - 1) :]
        self.extend(OfCategory(first.alike()) for _ in range(len(self), len(names) - 1))

    def numbered(self, batch: ImageBatch) -> ImageBatch:
        """A batch with the numbers that categories have here; as it is where no more than one is known.

        Raises:
            ValueError: an image shows none of the categories, or nobody says which.
        """
        if not len(self) or batch.categories == self.names:
            return batch
        told = [batch.categories[number] for number in batch.category.tolist()] if batch.categories else None
        named = told or [self.of_path(path) for path in batch.path]
        numbers = [self.number(name) for name in named]
        return batch._replace(category=batch.category.new_tensor(numbers), categories=self.names)

    def number(self, name: str) -> int:
        """The number of a category.

        Raises:
            ValueError: it is unknown.
        """
        if not self.names:
            raise ValueError(f"`category` must be left out, got {name}: the run names no categories.")
        if name not in self.names:
            raise ValueError(
                f"`category` must be one of {', '.join(self.names)}, which the run knows, got {name}. Add it: "
                f"anomaly-diffusion add {name} --run_folder RUN"
            )
        return self.names.index(name)

    def chosen(self, name: str | None) -> int:
        """The number of the one category that somebody asks about, which goes without saying where there is but one.

        Raises:
            ValueError: it is unknown, or there are several and nobody says which.
        """
        if name is None and len(self):
            raise ValueError(
                f"`category` must be one of {', '.join(self.names)}, got none: the run judges each by "
                "limits of its own."
            )
        return 0 if name is None else self.number(name)

    def of_path(self, path: str) -> str:
        """The category whose name a folder of `path` has, the one nearest to the file.

        Raises:
            UnknownCategory: no folder is called like one.
        """
        folders = PurePath(path).parts[:-1]
        found = [name for name in reversed(folders) if name in self.names]
        if not found:
            raise UnknownCategory(
                f"`category` of {path or 'an image'} is unknown, but the run judges each of {', '.join(self.names)} by "
                "limits of its own. Say which it shows (--category, `category=`), or put it into a folder of that name."
            )
        return found[0]

    def only(self, batches: Iterable[ImageBatch], number: int) -> "Iterable[ImageBatch]":
        """Batches with the images of one category, as often as they are asked for."""
        return _Only(self, batches, number)

    def numbers(self, batch: ImageBatch) -> list[int]:
        """The number of the category of each image; 0 where no more than one is known."""
        return self.numbered(batch).category.tolist() if len(self) else [0] * len(batch.path)

    def rows(self, batch: ImageBatch) -> list[tuple[int, slice | torch.Tensor]]:
        """Which images show which category, by their numbers in the batch, for those that are there."""
        if not len(self):
            return [(0, slice(None))]
        numbers = self.numbered(batch).category
        return [(number, (numbers == number).nonzero()[:, 0]) for number in sorted(set(numbers.tolist()))]


@dataclass(frozen=True)
class _Only(Iterable[ImageBatch]):
    """Those images of batches that show one category."""

    categories: Categories
    batches: Iterable[ImageBatch]
    number: int

    def __iter__(self) -> Iterator[ImageBatch]:
        for batch in self.batches:
            for number, rows in self.categories.rows(batch):
                if number == self.number:
                    yield batch.rows(rows) if isinstance(rows, torch.Tensor) else batch
