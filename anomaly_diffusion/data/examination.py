"""What `doctor` finds in a data set: counts, bad files, duplicates, and statistics that separate the test classes.

Test labels are used here for warnings only; nothing is chosen by them.
"""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from anomaly_diffusion.data import layouts
from anomaly_diffusion.data.reading.colour import channels_seen, with_channels
from anomaly_diffusion.data.reading.notes import Colour, Note, Told, noting, tell
from anomaly_diffusion.data.reading.photographs import BadImages, Pixels
from anomaly_diffusion.data.sample import GOOD, AnomalyDataset, Sample
from anomaly_diffusion.data.split import content_hash

__all__ = ["STATISTICS", "Health", "Record", "Shortcut", "examine", "layout_classes", "layout_of", "statistics"]

STATISTICS = ("brightness", "contrast", "sharpness")
_SEPARATES = 0.75  # AUROC from which, or below 1 minus which, a statistic alone tells test classes apart
_DIFFERS = 0.8  # Cohen's d that is commonly called large
_BEYOND = 2.5  # standard errors that chance does not explain, where photographs are few


@dataclass(frozen=True)
class Record:
    """What is known about one readable photograph.

    Attributes:
        sample: where it is and what it shows.
        size: height and width of the file.
        channels: 1 if it is grey to the eye, otherwise 3.
        statistics: see `statistics`.
        content: a hash of the file.
        masked: share of its pixels that are marked.
    """

    sample: Sample
    size: tuple[int, int]
    channels: int
    statistics: NDArray[np.float64]
    content: str
    masked: float


@dataclass(frozen=True)
class Shortcut:
    """How well a single number of the grey image separates the classes of the test set.

    Attributes:
        name: of the statistic.
        raw: AUROC of the number itself.
        distance: AUROC of its distance from the training normals.
        drift: by how many standard deviations training and test normals differ (Cohen's d).
        auroc_error: standard error of an AUROC where the number means nothing.
        drift_error: standard error of the drift where there is none.
    """

    name: str
    raw: float
    distance: float
    drift: float
    auroc_error: float
    drift_error: float

    @property
    def warnings(self) -> list[str]:
        """Return what a reader of figures has to know."""
        found = []
        if max(abs(self.raw - 0.5), abs(self.distance - 0.5)) > max(_SEPARATES - 0.5, _BEYOND * self.auroc_error):
            found.append(
                f"{self.name} alone separates the test classes (AUROC {self.raw:.3f}, as a distance from the training "
                f"normals {self.distance:.3f}): an image figure may mean no more than that; trust pixel figures."
            )
        if abs(self.drift) > max(_DIFFERS, _BEYOND * self.drift_error):
            found.append(
                f"good photographs for testing differ from those for training in {self.name}, by {self.drift:+.1f} "
                "standard deviations: a detector may call them defective."
            )
        return found


@dataclass(frozen=True)
class Health:
    """The findings about a data set.

    Attributes:
        train: readable training photographs.
        test: readable test photographs.
        problems: what is wrong with each bad file.
        shared: test photographs that are copies of training ones, with the original.
        notes: what else is worth knowing about the files.
    """

    train: list[Record]
    test: list[Record]
    problems: dict[str, str]
    shared: list[tuple[Path, Path]]
    notes: list[Note]

    def kinds(self) -> dict[str, list[Record]]:
        """Return the test photographs of each kind, good ones first."""
        kinds: dict[str, list[Record]] = {GOOD: []}
        for record in self.test:
            kinds.setdefault(record.sample.kind, []).append(record)
        return {kind: records for kind, records in kinds.items() if records}

    def copies(self) -> int:
        """Return how many training photographs repeat another one."""
        return len(self.train) - len({record.content for record in self.train})

    def shortcuts(self) -> list[Shortcut]:
        """Return what each statistic would reach; nothing where a class has fewer than two photographs."""
        labels = np.array([record.sample.label for record in self.test], bool)
        if len(self.train) < 2 or min(labels.sum(), (~labels).sum()) < 2:
            return []
        train, test = _table(self.train), _table(self.test)
        z = np.abs(test - train.mean(0)) / (train.std(0) + 1e-12)
        normal = test[~labels]
        drift = (normal.mean(0) - train.mean(0)) / (np.sqrt((normal.var(0) + train.var(0)) / 2) + 1e-12)
        good, bad = len(normal), int(labels.sum())
        errors = float(np.sqrt((good + bad + 1) / (12 * good * bad))), float(np.sqrt(1 / good + 1 / len(train)))
        return [
            Shortcut(name, _auroc(test[:, i], labels), _auroc(z[:, i], labels), float(drift[i]), *errors)
            for i, name in enumerate(STATISTICS)
        ]

    def warnings(self) -> list[str]:
        """Return everything that does not stop a training but may spoil its result."""
        found = [warning for shortcut in self.shortcuts() for warning in shortcut.warnings]
        if self.shared:
            found.insert(
                0, f"{len(self.shared)} test photographs are copies of training ones: delete one of each pair."
            )
        if self.copies():
            found.append(f"{self.copies()} training photographs are copies of others; they are kept on one side.")
        if not any(record.sample.label for record in self.test):
            found.append("there is no defective photograph to test on: only validation figures will mean something.")
        return found + [told.text for told in self.told() if told.warns]

    def told(self) -> list[Told]:
        """Return what is to be said about files that can be used."""
        return tell(self.notes)


def examine(dataset: AnomalyDataset) -> Health:
    """Read every photograph and mask of a data set once."""
    problems: dict[str, str] = {}
    notes = dataset.notes()
    normal = [*dataset.train_samples(), *dataset.validation_samples()]
    with noting(notes):
        train, test = (_records(dataset, samples, problems) for samples in (normal, dataset.test_samples()))
    notes += [Colour(record.sample.path, record.channels == 1) for record in (*train, *test)]
    originals = {record.content: record.sample.path for record in train}
    shared = [(record.sample.path, originals[record.content]) for record in test if record.content in originals]
    return Health(train, test, dict(sorted(problems.items())), shared, notes)


def layout_of(path: Path) -> AnomalyDataset:
    """Read a folder in the layout that recognises it; of several, in the least general one, the first by name."""
    known = sorted(layout_classes(), key=lambda layout: (layout.generality, layout.__name__))
    return next(layout for layout in known if "recognises" in vars(layout) and layout.recognises(path))(path)


def layout_classes() -> list[type[AnomalyDataset]]:
    """Return every layout: those of `data/layouts`, and those of a user that are imported."""
    for module in pkgutil.iter_modules(layouts.__path__, f"{layouts.__name__}."):
        importlib.import_module(module.name)
    found = AnomalyDataset.__subclasses__()
    for layout in found:
        found += [one for one in layout.__subclasses__() if one not in found]
    return found


def statistics(pixels: Pixels) -> NDArray[np.float64]:
    """Return mean, standard deviation and standard deviation of the Laplacian of the grey image, in levels of 255."""
    grey = with_channels(pixels, 1)[..., 0].astype(np.float64)
    return np.array([grey.mean(), grey.std(), cv2.Laplacian(grey, cv2.CV_64F).std()])


def sizes(records: Iterable[Record]) -> Counter[tuple[int, int]]:
    """Count the sizes (height, width) of photographs."""
    return Counter(record.size for record in records)


def _records(dataset: AnomalyDataset, samples: Sequence[Sample], problems: dict[str, str]) -> list[Record]:
    records = []
    for sample in samples:
        try:
            pixels, mask = dataset.read(sample)
        except BadImages as error:
            problems |= error.problems
        else:
            content, masked = content_hash(sample.path), float(mask.mean())
            size = pixels.shape[0], pixels.shape[1]
            records.append(Record(sample, size, channels_seen(pixels), statistics(pixels), content, masked))
    return records


def _table(records: Sequence[Record]) -> NDArray[np.float64]:
    return np.stack([record.statistics for record in records])


def _auroc(score: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """Return the probability that a defective photograph scores higher than a good one; ties count half."""
    positives = int(label.sum())
    wins = rankdata(score)[label].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(label) - positives)))
