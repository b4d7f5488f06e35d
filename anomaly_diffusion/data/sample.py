"""One photograph of a data set (Sample), and the base class of all layouts (AnomalyDataset)."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from anomaly_diffusion.data.layouts.conventions import GOOD, files_below, looks_like_an_image, splits_below
from anomaly_diffusion.data.reading.notes import LeftOut, LeftOutImage, Note
from anomaly_diffusion.data.reading.photographs import Mask, Pixels, read_mask, read_pixels
from anomaly_diffusion.data.reading.remote import located

__all__ = ["DATA_VARIABLE", "GOOD", "AnomalyDataset", "Sample", "stable_hash"]

DATA_VARIABLE = "ANOMALY_DIFFUSION_DATA"


@dataclass(frozen=True)
class Sample:
    """One photograph and what is known about it.

    Attributes:
        path: the file, or a stable name where there is none.
        label: True for a defective photograph.
        mask: the file with its defect pixels; None for a good photograph and where nobody drew one.
        kind: "good", or the kind of defect.
        category: which of the data set's categories of objects it shows; 0 where there is but one.
    """

    path: Path
    label: bool = False
    mask: Path | None = None
    kind: str = GOOD
    category: int = 0


class AnomalyDataset(ABC):
    """Lists the photographs of a data set and reads them; subclasses, the layouts, only list.

    Args:
        root: the folder, or a URL that fsspec understands, such as s3://bucket/folder; a relative one that is absent
            here is looked for under ANOMALY_DIFFUSION_DATA.
        white_level: value of a 16-bit photograph that is shown as white, 1 to 65535.

    Attributes:
        generality: of several layouts that recognise a folder, `doctor` takes the one with the lowest.
    """

    generality: ClassVar[int] = 0

    def __init__(self, root: str | Path, white_level: int = 65535) -> None:
        if not 1 <= white_level <= 65535:
            raise ValueError(f"`white_level` must lie in [1, 65535], got {white_level}.")
        self.root = located(root, anew=True)
        self.white_level = white_level

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder looks like one of this layout, so that `doctor` reads it so.

        Args:
            root: an existing folder; each layout is made of it, `cls(root)`.
        """
        return False

    @cached_property
    def folder(self) -> Path:
        """Return the folder that names are relative to."""
        return find_root(self.root)

    @abstractmethod
    def train_samples(self) -> list[Sample]:
        """Return the good photographs to learn from."""

    def validation_samples(self) -> list[Sample]:
        """Return good photographs kept for validation; where there are none, some of the training ones are held out."""
        return []

    @abstractmethod
    def test_samples(self) -> list[Sample]:
        """Return the photographs of the final figure, good and defective; an empty list where there are none."""

    def read(self, sample: Sample) -> tuple[Pixels, Mask]:
        """Read a photograph and its defect pixels.

        Raises:
            BadImages: if the photograph or its mask cannot be used.
        """
        pixels = self.read_image(sample)
        return pixels, self.read_mask(sample, (pixels.shape[0], pixels.shape[1]))

    def read_image(self, sample: Sample) -> Pixels:
        """Read the photograph alone.

        Raises:
            BadImages: if it cannot be used.
        """
        return read_pixels(sample.path, self.white_level)

    def read_mask(self, sample: Sample, size: tuple[int, int]) -> Mask:
        """Read the defect pixels of a photograph alone; none where nobody drew a mask.

        Args:
            sample: the photograph.
            size: its height and width.

        Raises:
            BadImages: if the mask cannot be used.
        """
        return np.zeros(size, bool) if sample.mask is None else read_mask(sample.mask, size, sample.path)

    def notes(self) -> list[Note]:
        """Return what is worth knowing about how the folder is read: the files that are left out."""
        used = {path for sample in self._samples() for path in (sample.path, *_masks(sample))}
        left = [path for place in self.places() for path in files_below(place) if path not in used]
        return [LeftOutImage(path) if looks_like_an_image(path) else LeftOut(path) for path in left]

    @property
    def category_names(self) -> tuple[str, ...]:
        """Return the names of the categories, by the numbers of samples; nothing where nobody names them."""
        return ()

    def places(self) -> list[Path]:
        """Return the folders that hold nothing but the data set, none where it lies in no folder."""
        return [self.folder]

    def _samples(self) -> Iterator[Sample]:
        """Give the samples of every split that can be listed; a split that cannot raises where it is used."""
        for listing in (self.train_samples, self.validation_samples, self.test_samples):
            with suppress(FileNotFoundError, ValueError):
                yield from listing()

    def name(self, sample: Sample) -> str:
        """Return the path of a photograph relative to the data set: the same on every machine."""
        path = sample.path
        return (path.relative_to(self.folder) if path.is_relative_to(self.folder) else path).as_posix()

    def key(self, sample: Sample) -> int:
        """Return a 63-bit number that names the photograph for good."""
        return stable_hash(self.name(sample))


def _masks(sample: Sample) -> list[Path]:
    """Return the mask of a photograph, or all of them where it has a folder of masks."""
    if sample.mask is None:
        return []
    return files_below(sample.mask) if sample.mask.is_dir() else [sample.mask]


def find_root(root: Path) -> Path:
    """Return `root`, or the folder of that name under the environment variable.

    Raises:
        FileNotFoundError: if it is in neither place; where categories lie beside it, they are named.
    """
    base = os.environ.get(DATA_VARIABLE)
    places = [root] if base is None or root.is_absolute() else [root, located(base, anew=True) / root]
    for place in places:
        if place.is_dir():
            return place
    tried = " nor ".join(str(place.absolute()) for place in places)
    hint = "Check it." if len(places) > 1 or root.is_absolute() else f"Set {DATA_VARIABLE} to the folder that holds it."
    if beside := [name for place in places for name in splits_below(place.parent)]:
        hint = f"`category` (or the last folder of the path) must be one of: {', '.join(beside)}, got {root.name}."
    raise FileNotFoundError(f"`root` must be a folder, but there is none at {tried}. {hint}")


def stable_hash(*parts: object) -> int:
    """Return a 63-bit hash of the parts that is the same in every process and on every machine."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
