"""Paints defects on normal photographs, with exact masks, to targets drawn from what is measured on public sets.

What to paint is decided on a sketch of the photograph, in the frame in which defects are measured, and then rendered at
the size of the photograph, where it is and nowhere else: so a photograph gets the same defect whatever its size, and a
large one costs little more than a small one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.random import Generator

from anomaly_diffusion.data.painting.crack import Crack
from anomaly_diffusion.data.painting.family import FINE, Canvas, Drawing, Family, Form, Outline, Sketch, log_uniform
from anomaly_diffusion.data.painting.foreign import Foreign
from anomaly_diffusion.data.painting.missing_texture import MissingTexture
from anomaly_diffusion.data.painting.part import AddedPart, MissingPart
from anomaly_diffusion.data.painting.paste import Paste
from anomaly_diffusion.data.painting.pit import Pit
from anomaly_diffusion.data.painting.scratch import Scratch
from anomaly_diffusion.data.painting.stain import Stain
from anomaly_diffusion.data.painting.statistics import RING, DefectStatistics, region_statistics, surroundings
from anomaly_diffusion.data.painting.visible import VISIBLE, visible
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
Weight = Float32[np.ndarray, "h w"]
_PLACES = 8  # tries to meet a target, each at another place
_ROUNDS = 5  # drawings at one place, each corrected by what the one before it met
_MET = 0.1  # deviation at which a target counts as met: 10 % in any of its three figures
_SPECK = 4  # pixels of the sketch below which a separate piece of a defect is undone
_LONGEST = 0.8  # of the longer side
_LEAST_CHANGE = 1.3 * VISIBLE  # root mean square over a defect, so that most of it is visible
_BLOCK = 32  # pixels of the sketch: a large photograph is changed block by block, and not where nothing is painted


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
        family = family or self._family(sketch, target, generator)
        attempts: list[_Attempt] = []
        for _ in range(_PLACES):
            place = _place(family.places(sketch), generator)
            attempts += _attempts(sketch, family, place, target, int(generator.integers(2**63)))
            best = min(attempts, key=lambda attempt: attempt.error, default=None)
            if best and best.error < math.log1p(_MET):
                break
        for attempt in sorted(attempts, key=lambda attempt: attempt.error):
            result, mask = _rendered(image, sketch, attempt)
            if mask.any():  # what shows on the sketch may not at the size of the photograph
                return Painted(result, mask, family.kind, target, attempt.met)
        raise ValueError(
            f"No visible defect ({family.kind}) fits on {image.shape[1]} x {image.shape[0]} pixels; "
            "paint larger photographs, or other families."
        )

    def _family(self, sketch: Sketch, target: DefectStatistics, generator: Generator) -> Family:
        """Draw a family by its share among those that suit; by the photograph alone where none suits the elongation."""
        suiting = [family for family in self.families if family.suits(sketch)] or list(self.families)
        long = target.elongation > 3
        fitting = [family for family in suiting if family.elongated in (None, long)] or suiting
        share = np.array([family.share for family in fitting])
        return fitting[int(generator.choice(len(fitting), p=share / share.sum()))]


@dataclass(frozen=True)
class _Attempt:
    """A defect in a box of the sketch.

    Attributes:
        box: rows and columns.
        outline: of the box.
        change: of the box, where the outline is 255.
        met: what it measures.
        error: how far that is from the target.
        whole: whether half of it shows as one piece.
    """

    box: tuple[slice, slice]
    outline: Outline
    change: Canvas
    met: DefectStatistics
    error: float
    whole: bool


def _place(places: Mask, generator: Generator) -> tuple[float, float]:
    """Draw a pixel of `places` that is not at the border of the photograph, as far as there is one."""
    margin = min(places.shape) // 16
    inner = np.zeros_like(places)
    inner[margin : places.shape[0] - margin, margin : places.shape[1] - margin] = True
    found = np.flatnonzero(places & inner if (places & inner).any() else places)
    row, column = divmod(int(found[int(generator.integers(len(found)))]), places.shape[1])
    return float(row), float(column)


def _attempts(
    sketch: Sketch, family: Family, place: tuple[float, float], target: DefectStatistics, seed: int
) -> Iterator[_Attempt]:
    """Draw one defect again and again, its width, contrast and roughness corrected by what was met."""
    short, longest = min(sketch.size), _LONGEST * max(sketch.size)
    aim = replace(target, width=max(target.width, 1 / short))
    ask = aim
    for _ in range(_ROUNDS):
        width = ask.width * short
        form = Form(place, width, max(1.0, min(ask.elongation, longest / width)))
        drawing = family.draw(sketch, form, np.random.default_rng(seed))
        attempt = _tried(sketch, drawing, ask, aim)
        if attempt is None:
            ask = replace(ask, width=min(1.5 * ask.width, 0.3), cnr=1.5 * ask.cnr)
            continue
        yield attempt
        if attempt.error < math.log1p(_MET):
            return
        better = _corrected(ask, aim, attempt.met, drawing.as_it_is)
        ask = better if attempt.whole else replace(ask, cnr=1.5 * max(ask.cnr, aim.cnr))


def _tried(sketch: Sketch, drawing: Drawing, ask: DefectStatistics, aim: DefectStatistics) -> _Attempt | None:
    """Paint a drawing on the sketch and measure it; None if there is nothing to see."""
    outline = _on_object(drawing.outline, sketch.object) if drawing.on_object else drawing.outline
    box = _box(outline, sketch.size)
    part = Sketch(sketch.image[box], sketch.object[box])
    if not part.image.size:
        return None
    fine = outline[tuple(slice(FINE * side.start, FINE * side.stop) for side in box)]
    weight = cv2.resize(fine, part.size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    change = _change(part, drawing, drawing.material[box], weight, ask)
    painted = (part.image + weight[..., None] * change + 0.5).clip(0, 255).astype(np.uint8)
    mask = visible(part.image.astype(np.uint8), painted, sketch.size, _SPECK)
    if not mask.any():
        return None
    count, label, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = label == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    grey = np.where(mask[..., None], painted, part.image).mean(axis=2, dtype=np.float32)
    met = region_statistics(grey, largest, mask, min(sketch.size))
    fine = _kept(fine, largest) if count > 2 else fine
    whole = drawing.as_it_is or bool(largest.sum() >= 0.5 * (weight >= 0.5).sum())
    error = _error(met, aim, min(sketch.size), drawing.as_it_is) + (0 if whole else 1)
    return _Attempt(box, fine, change, met, error, whole)


def _box(outline: Outline, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the part of the sketch that holds a defect and the ring around it."""
    left, top, width, height = cv2.boundingRect(outline)
    if not width:
        return slice(0, 0), slice(0, 0)
    rows, columns = (
        slice(max(0, start // FINE - RING), min(side, (start + length) // FINE + RING + 1))
        for start, length, side in ((top, height, size[0]), (left, width, size[1]))
    )
    return rows, columns


def _change(part: Sketch, drawing: Drawing, material: Canvas, weight: Weight, ask: DefectStatistics) -> Canvas:
    """How the sketch changes where the material shows, brought to the contrast and roughness that are asked for."""
    if drawing.as_it_is:
        return np.asarray(material - part.image)
    inside = weight >= min(0.5, float(weight.max()) / 2)
    ring = surroundings(inside)
    around = part.image[ring] if ring.any() else part.image.reshape(-1, part.image.shape[2])
    level, std = float(around.mean()), max(float(around.mean(axis=1).std()), 1.0)
    shown = material[inside]
    gain = ask.std_ratio * std / max(float(shown.mean(axis=1).std()), 1e-3)
    rough = min(gain, 1e3) * (material - shown.mean(axis=0))
    spared = float(np.square(rough[inside].mean(axis=1) - part.grey[inside] + level).mean())
    shift = max(ask.cnr * std, math.sqrt(max(_LEAST_CHANGE**2 - spared, 0)))
    room = 255 - level if drawing.sign > 0 else level
    sign = drawing.sign if room >= min(shift, 127) else -drawing.sign
    return np.asarray(around.mean(axis=0) + sign * shift * drawing.tint + rough - part.image, np.float32)


def _corrected(ask: DefectStatistics, aim: DefectStatistics, met: DefectStatistics, as_it_is: bool) -> DefectStatistics:
    """What to ask for next, so that what is met comes nearer to the aim."""

    def nearer(asked: float, aimed: float, got: float, low: float, high: float) -> float:
        return min(max(asked * min(max(aimed / max(got, 1e-3), 0.5), 2.0), low), high)

    width = nearer(ask.width, aim.width, met.width, 0.3 * aim.width, 0.4)
    ask = replace(ask, elongation=nearer(ask.elongation, aim.elongation, met.elongation, 1.0, 4 * aim.elongation))
    if as_it_is:
        return replace(ask, width=width)
    cnr = nearer(ask.cnr, aim.cnr, met.cnr, 0.01, 100)
    return replace(ask, width=width, cnr=cnr, std_ratio=nearer(ask.std_ratio, aim.std_ratio, met.std_ratio, 0.01, 30))


def _error(met: DefectStatistics, aim: DefectStatistics, short: int, as_it_is: bool) -> float:
    """The largest deviation of what was met, as a logarithm; half a pixel of width is none."""
    near = min(max(met.width, aim.width - 0.5 / short), aim.width + 0.5 / short)
    pairs = [(met.width * aim.width / near, aim.width)]
    pairs += [] if as_it_is else [(met.cnr, aim.cnr), (met.std_ratio, aim.std_ratio)]
    return max(abs(math.log(max(got, 1e-3) / aimed)) for got, aimed in pairs)


def _on_object(outline: Outline, object_: Mask) -> Outline:
    """End an outline where the object ends."""
    if object_.all():
        return outline
    fine = cv2.resize(object_.astype(np.uint8) * 255, outline.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.minimum(outline, fine))


def _kept(outline: Outline, piece: Mask) -> Outline:
    """Keep the part of an outline that became one piece, and its soft edge."""
    near = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8))
    fine = cv2.resize(near, outline.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(fine > 0, outline, 0).astype(np.uint8)


def _rendered(image: Pixels, sketch: Sketch, attempt: _Attempt) -> tuple[Pixels, Mask]:
    """Render a defect at the size of the photograph, block by block."""
    painted = image.copy()
    scale = image.shape[0] / sketch.size[0], image.shape[1] / sketch.size[1]
    fine = 1 if max(scale) < 2 else 2 if max(scale) < 4 else FINE
    size = fine * attempt.change.shape[1], fine * attempt.change.shape[0]
    outline = cv2.resize(attempt.outline, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    for row in range(0, attempt.change.shape[0], _BLOCK):
        for column in range(0, attempt.change.shape[1], _BLOCK):
            if outline[fine * row : fine * (row + _BLOCK), fine * column : fine * (column + _BLOCK)].any():
                _render(painted, (row, column), scale, outline, attempt)
    part = tuple(_at_size(side, step) for side, step in zip(attempt.box, scale, strict=True))
    mask = np.zeros(image.shape[:2], bool)
    speck = _SPECK / 2 * scale[0] * scale[1]  # what shows on the sketch shows
    mask[part] = visible(image[part], painted[part], mask.shape, speck)
    np.copyto(painted[part], image[part], where=~mask[part][..., None])
    return painted, mask


def _render(
    painted: Pixels, start: tuple[int, int], scale: tuple[float, float], outline: Weight, attempt: _Attempt
) -> None:
    """Change the photograph where the block of the box lies that begins at `start`."""
    ends = (min(begin + _BLOCK, side) for begin, side in zip(start, attempt.change.shape, strict=False))
    first = tuple(side.start for side in attempt.box)
    block = (slice(at + begin, at + end) for at, begin, end in zip(first, start, ends, strict=True))
    sides = tuple(_at_size(part, step) for part, step in zip(block, scale, strict=True))
    below = painted[sides]
    weight = _resampled(outline, attempt, sides, scale, cv2.INTER_LINEAR)
    changed = _resampled(attempt.change, attempt, sides, scale, cv2.INTER_CUBIC).reshape(below.shape)
    below[:] = (below + weight[..., None] * changed + 0.5).clip(0, 255).astype(np.uint8)


def _at_size(part: slice, step: float) -> slice:
    """Return the pixels of the photograph whose part of the sketch this is."""
    return slice(round(part.start * step), round(part.stop * step))


def _resampled(
    source: np.ndarray, attempt: _Attempt, sides: tuple[slice, ...], scale: tuple[float, float], how: int
) -> np.ndarray:
    """Return what `source`, which covers the box of the attempt, is at some pixels of the photograph."""
    fine = source.shape[0] / attempt.change.shape[0]
    (down, row), (across, column) = (
        (fine / step, ((side.start + 0.5) / step - box.start) * fine - 0.5)
        for side, step, box in zip(sides, scale, attempt.box, strict=True)
    )
    matrix, how = np.array([[across, 0, column], [0, down, row]]), how | cv2.WARP_INVERSE_MAP
    size = sides[1].stop - sides[1].start, sides[0].stop - sides[0].start
    return np.asarray(cv2.warpAffine(source, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE))
