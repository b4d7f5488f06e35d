"""Paints defects on normal photographs, with exact masks, to targets drawn from what is measured on public sets.

What to paint is decided on a sketch of the photograph, in the frame in which defects are measured, and then rendered at
the size of the photograph, where it is and nowhere else: so a photograph gets the same defect whatever its size, and a
large one costs little more than a small one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from anomaly_diffusion.data.painting.attempts import MET, Attempt, attempts_at
from anomaly_diffusion.data.painting.families.crack import Crack
from anomaly_diffusion.data.painting.families.family import Family, Sketch, log_uniform
from anomaly_diffusion.data.painting.families.foreign import Foreign
from anomaly_diffusion.data.painting.families.missing_texture import MissingTexture
from anomaly_diffusion.data.painting.families.part import AddedPart, MissingPart
from anomaly_diffusion.data.painting.families.paste import Paste
from anomaly_diffusion.data.painting.families.pit import Pit
from anomaly_diffusion.data.painting.families.scratch import Scratch
from anomaly_diffusion.data.painting.families.stain import Stain
from anomaly_diffusion.data.painting.rendering import rendered
from anomaly_diffusion.data.painting.statistics import DefectStatistics
from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["FAMILIES", "Painted", "Painter", "Targets"]

FAMILIES: tuple[Family, ...] = (
    Crack(),
    Scratch(),
    Pit(),
    Stain(),
    Paste(),
    Foreign(),
    MissingPart(),
    AddedPart(),
    MissingTexture(),
)
_PLACES = 8  # tries to meet a target, each at another place


@dataclass(frozen=True)
class Painted:
    """A photograph with a painted defect: outside `mask` it is untouched.

    Attributes:
        image: the photograph.
        mask: what was changed.
        kind: the family.
        target: what was asked for.
        met: what was painted, measured on the sketch.
    """

    image: Pixels
    mask: Mask
    kind: str
    target: DefectStatistics
    met: DefectStatistics


@dataclass(frozen=True)
class Targets:
    """What is drawn before a defect is: ranges, log-uniform, of what `DefectStatistics` measures.

    The ranges hold the medians of cracks, scratches and inclusions of public sets: contrast 1.9 to 6, width .02 to .06,
    ratio of standard deviations 1.1 to 3.4.

    Attributes:
        cnr: contrast to the ring, in its standard deviations.
        width: of the shorter side; at least a pixel.
        std_ratio: roughness inside over that of the ring.
        elongated: share of defects that are long.
        long: length over width of those.
        compact: length over width of the others.
    """

    cnr: tuple[float, float] = (1.0, 6.0)
    width: tuple[float, float] = (0.012, 0.08)
    std_ratio: tuple[float, float] = (0.7, 3.0)
    elongated: float = 0.5
    long: tuple[float, float] = (5.0, 25.0)
    compact: tuple[float, float] = (1.0, 2.5)

    def draw(self, generator: Generator) -> DefectStatistics:
        """Draw a target."""
        elongation = self.long if generator.random() < self.elongated else self.compact
        return DefectStatistics(
            *(log_uniform(generator, *limits) for limits in (self.cnr, self.width, elongation, self.std_ratio))
        )


class Painter:
    """Paints one defect on a photograph: draws a target, then a family, then a place on the object.

    The mask holds the pixels that change by `VISIBLE` levels or more, with gaps of a pixel or two closed as a person
    would who draws round a defect; loose specks and weaker changes are undone, so nothing outside the mask differs.
    Where surroundings are so even, or so close to black or white, that a target cannot be met, `Painted.met` says what
    was.

    Args:
        severity: factor of the contrast that is drawn, (0, 1].
        families: what to draw from; None: `FAMILIES`.
        targets: None: the ranges of public sets.
    """

    def __init__(
        self, severity: float = 1.0, families: Sequence[Family] | None = None, targets: Targets | None = None
    ) -> None:
        if not 0 < severity <= 1:
            raise ValueError(f"`severity` must lie in (0, 1], got {severity}.")
        if families is not None and not families:
            raise ValueError("`families` must name at least one, got none. Leave it out for all of them.")
        self.severity, self.families, self.targets = severity, families or FAMILIES, targets or Targets()

    def __call__(self, image: Pixels, generator: Generator) -> Painted:
        """Paint a defect; the same generator state paints the same.

        Raises:
            ValueError: if the photograph is such that no defect can be seen on it.
        """
        target = self.targets.draw(generator)
        return self.paint(image, generator, replace(target, cnr=self.severity * target.cnr))

    def paint(
        self, image: Pixels, generator: Generator, target: DefectStatistics, family: Family | None = None
    ) -> Painted:
        """Paint a defect of given contrast, width, elongation and roughness.

        Args:
            image: a normal photograph.
            generator: draws family, place and form.
            target: what `Painted.met` is to come near.
            family: None: one that suits photograph and elongation is drawn.

        Raises:
            ValueError: if the photograph is such that no defect can be seen on it.
        """
        sketch = Sketch.of(image)
        left = [family] if family else list(self.families)
        while left:
            drawn = family or self._family(sketch, target, generator, left)
            painted = _painted(image, sketch, drawn, target, generator)
            if painted:
                return painted
            left.remove(drawn)  # it fits nowhere: another may
        tried = ", ".join(one.kind for one in ([family] if family else self.families))
        raise ValueError(
            f"No visible defect ({tried}) fits on {image.shape[1]} x {image.shape[0]} pixels; "
            "paint larger photographs, or other families."
        )

    def _family(
        self, sketch: Sketch, target: DefectStatistics, generator: Generator, among: Sequence[Family] | None = None
    ) -> Family:
        """Draw a family by its share among those that suit; by the photograph alone where none suits the elongation."""
        among = among or self.families
        suiting = [family for family in among if family.suits(sketch)] or list(among)
        long = target.elongation > 3
        fitting = [family for family in suiting if family.elongated in (None, long)] or suiting
        share = np.array([family.share for family in fitting])
        return fitting[int(generator.choice(len(fitting), p=share / share.sum()))]


def _painted(
    image: Pixels, sketch: Sketch, family: Family, target: DefectStatistics, generator: Generator
) -> Painted | None:
    """A defect of a family that comes nearest to the target; None if none can be seen."""
    attempts: list[Attempt] = []
    for _ in range(_PLACES):
        place = _place(family.places(sketch), generator)
        attempts += attempts_at(sketch, family, place, target, int(generator.integers(2**63)))
        best = min(attempts, key=lambda attempt: attempt.error, default=None)
        if best and best.error < math.log1p(MET):
            break
    for attempt in sorted(attempts, key=lambda attempt: attempt.error):
        result, mask = rendered(image, sketch, attempt)
        if mask.any():  # what shows on the sketch may not at the size of the photograph
            return Painted(result, mask, family.kind, target, attempt.met)
    return None


def _place(places: Mask, generator: Generator) -> tuple[float, float]:
    """Draw a pixel of `places` that is not at the border of the photograph, as far as there is one."""
    margin = min(places.shape) // 16
    inner = np.zeros_like(places)
    inner[margin : places.shape[0] - margin, margin : places.shape[1] - margin] = True
    found = np.flatnonzero(places & inner if (places & inner).any() else places)
    row, column = divmod(int(found[int(generator.integers(len(found)))]), places.shape[1])
    return float(row), float(column)
