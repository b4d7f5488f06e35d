"""What is said about a judged image, free of torch: where nothing but verdicts is wanted, it need not be installed."""

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["AnomalousRegion", "Verdict"]


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
