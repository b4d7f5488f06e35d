"""What is said about a judged image, free of torch: where nothing but verdicts is wanted, it need not be installed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["AnomalousRegion", "ImageResult", "UnknownCategory", "Verdict"]


class AnomalousRegion(NamedTuple):
    """A connected part of an anomaly map above a cut.

    Attributes:
        x, y: left and top of its box, in pixels: of the map as `verdicts` finds it, of the file in results.
        width, height: of its box, in the same.
        area: its pixels.
        peak: largest value of the map in it, in standard deviations of normal images.
        mass: sum of map - cut over its pixels of the map: a small and strong region has as much as a large, faint one.
        p_value: conformal p-value of its mass against the heaviest region of each normal image.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float
    mass: float
    p_value: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """What is said about one judged image.

    Attributes:
        p_value: conformal p-value of its score: how often a normal image has a score as large.
        limit: the score beyond which an image is called defective.
        defective: whether it is called so.
        drift: in which way it is unlike all normal images, in words; nothing if it is like them.
        regions: those that stand out, heaviest first; the heaviest alone where none does, but the image is defective.
        peak: column and row of the map's largest value, in the same pixels as the regions.
        in_place: whether that lies at the defect; None without a mask.
    """

    p_value: float
    limit: float
    defective: bool
    drift: str = ""
    regions: tuple[AnomalousRegion, ...] = ()
    peak: tuple[int, int] = (0, 0)
    in_place: bool | None = None


@dataclass(frozen=True)
class ImageResult:
    """The numbers of one judged image: a line of `per_image.csv`, or of `failures.csv`.

    Callbacks write it, everyone else reads it. Numbers are NaN where nobody measured them.

    Attributes:
        path: relative to the root of the data set.
        label: 1 for a defective image; None where nobody knows.
        kind: "good", or the folder of a defective image.
        defect_share: defective pixels among those of the photograph; 0 without a mask.
        score: image anomaly score.
        map_max: largest value of the map, as are the next two without padding.
        map_mean: its mean.
        map_p99: what 99 % of its pixels stay below.
        seconds: the batch's time, shared equally.
        category: the name of its category; empty where nobody names it.
        measures: further numbers by their names; those of `failures.csv` are `failure_measures.MEASURES`.
        verdict: what is said about it; None where no limit was known.
    """

    path: str
    label: int | None
    kind: str
    defect_share: float
    score: float
    map_max: float = math.nan
    map_mean: float = math.nan
    map_p99: float = math.nan
    seconds: float = math.nan
    category: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def word(self) -> str:
        """The verdict, "defective" or "normal"; nothing where it is unknown."""
        return "" if self.verdict is None else "defective" if self.verdict.defective else "normal"

    @property
    def outcome(self) -> str:
        """Verdict and truth: found, found elsewhere, missed, false alarm, passed; nothing where either is unknown."""
        if self.verdict is None or self.label is None:
            return ""
        if not self.label:
            return "false alarm" if self.verdict.defective else "passed"
        if not self.verdict.defective:
            return "missed"
        return "found elsewhere" if self.verdict.in_place is False else "found"

    def number(self, name: str) -> float:
        """The field or the measure of that name; NaN where nobody measured it."""
        return float(getattr(self, name, self.measures.get(name, math.nan)))


class UnknownCategory(ValueError):
    """Nobody says which of several categories an image shows."""
