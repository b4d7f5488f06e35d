"""Train/validation split by hashes of file names, duplicate files kept on one side, saved as split.json."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

from anomaly_diffusion.data.painting.families.family import Family
from anomaly_diffusion.data.painting.painter import Painter
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, stable_hash

__all__ = ["FILE", "Split", "Validation", "held_out"]

FILE = "split.json"
_LEAST = 2  # different photographs to train on, and to validate on
_FEW = 32  # photographs up to which they are split by folds


@dataclass(frozen=True)
class Validation:
    """How many good photographs are held out, and how they are painted: each is judged as it is, and painted.

    Attributes:
        share: part of the training photographs of each category, in (0, 1); not used where a data set brings its own.
        at_least: lower bound on their number, as far as half of the photographs allow.
        at_most: upper bound on their number.
        severity: factor of the contrast of painted defects, in (0, 1].
        seed: decides who is held out and what is painted, so that runs of all seeds validate on the same images.
        paintings: how often each is painted, with another defect every time, >= 1. Settings that differ little are
            told apart by many defects only.
        families: what is painted; None: all families but `OwnCrops`, which needs a folder.
        folds: where there are at most 32 photographs: in so many parts they are split, each held out from a copy of the
            detector of its own, so that all train and all validate. 1: some are held out, as from many.
    """

    share: float = 0.2
    at_least: int = 16
    at_most: int = 128
    severity: float = 1.0
    seed: int = 0
    paintings: int = 1
    families: Sequence[Family] | None = None
    folds: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"`share` must lie in (0, 1), got {self.share}.")
        if not 2 <= self.at_least <= self.at_most:
            raise ValueError(f"`at_least` must lie in [2, at_most], got {self.at_least} and {self.at_most}.")
        if self.paintings < 1:
            raise ValueError(f"`paintings` must be at least 1, got {self.paintings}.")
        if self.folds < 1:
            raise ValueError(f"`folds` must be at least 1, got {self.folds}.")

    def painter(self) -> Painter:
        """Return what paints."""
        return Painter(self.severity, self.families)

    def count(self, total: int) -> int:
        """Return how many of `total` photographs are held out."""
        return min(max(round(self.share * total), self.at_least), self.at_most, total // 2)

    def held_out(self, paths: Mapping[str, Path]) -> list[str]:
        """Return which photographs of a category are held out, whatever other categories there are.

        Args:
            paths: the file of each name.
        """
        return held_out(paths, self.count(len(paths)), self.seed, _LEAST, _LEAST)


@dataclass(frozen=True)
class Split:
    """Names of photographs by their use.

    Attributes:
        train: to learn from.
        validation_normal: good ones held out.
        validation_painted: good ones held out that get a painted defect.
        test: photographs of the final figure; their names only, as nothing here opens them.
        folds: parts of the photographs, where all train and all are held out, each part from one copy of the detector;
            none where those held out train nothing.
    """

    train: list[str]
    validation_normal: list[str]
    validation_painted: list[str]
    test: list[str] = field(default_factory=list)
    folds: list[list[str]] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: AnomalyDataset, validation: Validation, by_folds: bool = False) -> "Split":
        """Split a data set anew.

        Args:
            dataset: lists the photographs.
            validation: how many are held out.
            by_folds: whether few photographs may be split by folds: the detector must know what they are.

        Raises:
            ValueError: if too few good photographs differ, beside those for testing.
        """
        samples, test = dataset.train_samples(), dataset.test_samples()
        train = {dataset.name(sample): sample.path for sample in samples}
        own = [dataset.name(sample) for sample in dataset.validation_samples()]
        categories = sorted({sample.category for sample in samples}) or [0]
        if not own:
            for number in categories:
                good = {dataset.name(item): item.path for item in test if not item.label and item.category == number}
                _check_enough(_of(dataset, samples, number), good, _called(dataset, number))
        tested = [dataset.name(sample) for sample in test]
        if by_folds and not own and validation.folds > 1 and len(train) <= _FEW:
            return cls(list(train), sorted(train), sorted(train), tested, _folds(train, validation))
        kept = set(own or chain(*(validation.held_out(_of(dataset, samples, number)) for number in categories)))
        left = [name for name in train if name not in kept]
        return cls(left, sorted(kept), sorted(kept), tested)

    @classmethod
    def load(cls, path: Path, dataset: AnomalyDataset) -> "Split":
        """Read a split and make sure that it is about the photographs of `dataset`.

        Raises:
            ValueError: if photographs were added or removed since.
        """
        split = cls(**json.loads(path.read_text(encoding="utf-8")))
        there = {dataset.name(sample) for sample in (*dataset.train_samples(), *dataset.validation_samples())}
        known = {*split.train, *split.validation_normal, *split.validation_painted}
        gone, new = sorted(known - there), sorted(there - known)
        if gone or new:
            example = f"{gone[0]} is gone" if gone else f"{new[0]} is new"
            change = f"{len(gone)} photographs gone, {len(new)} new; {example}"
            raise ValueError(f"{path} does not fit the data: {change}. Restore them, or start a new run.")
        return split

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")  # another process may be about to read the file: it must be whole
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)


def held_out(paths: Mapping[str, Path], count: int, seed: int | str, least: int = 1, left: int = 1) -> list[str]:
    """Choose about `count` names by the hash of (seed, name); copies of one file are chosen together.

    Args:
        paths: the file of each name.
        count: how many; copies may make it more.
        seed: another seed chooses others.
        least: how many different files are chosen, however many copies they have.
        left: how many different files are not chosen, as far as `least` allows.
    """
    groups = sorted(_copies(paths), key=lambda names: stable_hash(seed, min(names)))
    chosen: list[str] = []
    for number, names in enumerate(groups):
        if number >= least and (len(chosen) >= count or number >= len(groups) - left):
            break
        chosen += names
    return sorted(chosen)


def _folds(paths: Mapping[str, Path], validation: Validation) -> list[list[str]]:
    """Names in parts of about equal size, copies of one file together; fewer parts where few photographs differ."""
    groups = sorted(_copies(paths), key=lambda names: stable_hash(validation.seed, min(names)))
    count = min(validation.folds, len(groups) // _LEAST)
    return [sorted(chain(*groups[number::count])) for number in range(count)]


def _check_enough(train: Mapping[str, Path], test: Mapping[str, Path], folder: str) -> None:
    """Make sure that there are good photographs to learn from and to validate on.

    Raises:
        ValueError: saying what is there and what is needed.
    """
    if len(_copies(train)) < 2 * _LEAST:
        raise ValueError(
            f"{folder} must hold at least {2 * _LEAST} different good photographs beside those for testing, "
            f"{_LEAST} to train and {_LEAST} to validate on. "
            f"It holds {_counted(train)} to learn from and {_counted(test)} for testing. Add some."
        )


def _of(dataset: AnomalyDataset, samples: Sequence[Sample], category: int) -> dict[str, Path]:
    """The file of each name of a category."""
    return {dataset.name(sample): sample.path for sample in samples if sample.category == category}


def _called(dataset: AnomalyDataset, category: int) -> str:
    """Where photographs of a category lie."""
    names = dataset.category_names
    return f"{dataset.folder}, category {names[category]}," if len(names) > 1 else str(dataset.folder)


def _counted(paths: Mapping[str, Path]) -> str:
    """How many files there are, and how many of them differ."""
    different = len(_copies(paths))
    return f"{len(paths)}" + ("" if different == len(paths) else f" ({different} without copies)")


def _copies(paths: Mapping[str, Path]) -> list[list[str]]:
    """Group names by content; only files of equal length are read."""
    lengths = {name: path.stat().st_size if path.is_file() else -stable_hash(name) for name, path in paths.items()}
    shared = defaultdict(list)
    for name, length in lengths.items():
        shared[length].append(name)
    groups = defaultdict(list)
    for name, path in paths.items():
        alone = len(shared[lengths[name]]) == 1
        groups[name if alone else content_hash(path)].append(name)
    return list(groups.values())


def content_hash(path: Path) -> str:
    """Return a hash of what is in a file."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
