"""Normal photographs with painted defects of asked widths and contrasts, as a data set: to see which are found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anomaly_diffusion.data.painting.families.family import Family, Sketch
from anomaly_diffusion.data.painting.painter import Painted, Painter, Targets
from anomaly_diffusion.data.painting.statistics import DefectStatistics
from anomaly_diffusion.data.reading.photographs import Mask, Pixels
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, stable_hash

__all__ = ["Grid", "PaintedGrid"]


@dataclass(frozen=True)
class Grid:
    """Which defects are painted.

    Attributes:
        families: kinds of defects.
        widths: shares of the photograph's shorter side, > 0.
        contrasts: contrast-to-noise ratios, > 0.
        defects: in each family, shared out evenly among all pairs of a width and a contrast.
        seed: decides on which photographs they are painted, and where.
    """

    families: Sequence[Family]
    widths: Sequence[float]
    contrasts: Sequence[float]
    defects: int
    seed: int = 0


class _Order(NamedTuple):
    """What is painted on which photograph."""

    normal: Sample
    family: Family
    width: float
    contrast: float


class PaintedGrid(AnomalyDataset):
    """Test photographs are normal ones of another data set, each with one painted defect, their kinds its families.

    A defect that cannot be painted on its photograph is left out: the photograph stays as it is, and `met` lacks it.

    Args:
        dataset: whose photographs are painted.
        normal: those to paint, at least one.
        grid: what is painted.

    Attributes:
        met: what the painted defects are like, by the paths of their samples, once these were read.
    """

    def __init__(self, dataset: AnomalyDataset, normal: Sequence[Sample], grid: Grid) -> None:
        super().__init__(dataset.root, dataset.white_level)
        self.met: dict[Path, DefectStatistics] = {}
        self._dataset, self._seed = dataset, grid.seed
        self._orders = _orders(normal, grid)

    @property
    def folder(self) -> Path:
        """Return that of the data set."""
        return self._dataset.folder

    @property
    def category_names(self) -> tuple[str, ...]:
        """Return those of the data set."""
        return self._dataset.category_names

    def places(self) -> list[Path]:
        """Return nothing: what else lies there is told elsewhere."""
        return []

    def train_samples(self) -> list[Sample]:
        """Return nothing."""
        return []

    def test_samples(self) -> list[Sample]:
        """Return the painted photographs."""
        return list(self._orders)

    def source(self, sample: Sample) -> str:
        """Return the name of the normal photograph that a sample is painted on."""
        return self._dataset.name(self._orders[sample].normal)

    def read(self, sample: Sample) -> tuple[Pixels, Mask]:
        """Read the normal photograph and paint it."""
        pixels, mask = self._dataset.read(self._orders[sample].normal)
        generator = np.random.default_rng(stable_hash(self._seed, self.name(sample)))
        painted = _painted(pixels, self._orders[sample], generator)
        if painted is None:
            return pixels, mask
        self.met[sample.path] = painted.met
        return painted.image, painted.mask

    def read_image(self, sample: Sample) -> Pixels:
        """Paint again."""
        return self.read(sample)[0]

    def read_mask(self, sample: Sample, size: tuple[int, int]) -> Mask:
        """Paint again, too."""
        return self.read(sample)[1]


def _orders(normal: Sequence[Sample], grid: Grid) -> dict[Sample, _Order]:
    """What is painted on which photograph: all photographs once before any is painted again."""
    cells = list(product(grid.widths, grid.contrasts))
    orders = {}
    for family in grid.families:
        shuffled = sorted(normal, key=lambda sample: stable_hash(grid.seed, family.kind, sample.path.name))
        for number in range(grid.defects):
            photograph, cell = shuffled[number % len(normal)], cells[number % len(cells)]
            path = photograph.path / family.kind / f"{number:04}.png"
            sample = Sample(path, label=True, kind=family.kind, category=photograph.category)
            orders[sample] = _Order(photograph, family, *cell)
    return orders


def _painted(pixels: Pixels, order: _Order, generator: np.random.Generator) -> Painted | None:
    """A photograph with the defect that was ordered; None where it cannot have one."""
    if not order.family.suits(Sketch.of(pixels)):
        return None
    long = {None: 0.5, True: 1.0, False: 0.0}[order.family.elongated]
    target = replace(Targets(elongated=long).draw(generator), width=order.width, cnr=order.contrast)
    try:
        return Painter().paint(pixels, generator, target, order.family)
    except ValueError:
        return None
