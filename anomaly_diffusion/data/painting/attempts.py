"""A defect on a sketch, drawn again and again until it measures what it shall."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32

from anomaly_diffusion.data.painting.families.family import FINE, Canvas, Drawing, Family, Form, Outline, Sketch
from anomaly_diffusion.data.painting.statistics import RING, DefectStatistics, region_statistics, surroundings
from anomaly_diffusion.data.painting.visible import VISIBLE, visible
from anomaly_diffusion.data.reading.photographs import Mask

__all__ = ["MET", "SPECK", "Attempt", "Weight", "attempts_at"]

Weight = Float32[np.ndarray, "h w"]
MET = 0.1  # deviation at which a target counts as met: 10 % in any of its three figures
SPECK = 4  # pixels of the sketch below which a separate piece of a defect is undone
_ROUNDS = 5  # drawings at one place, each corrected by what the one before it met
_LONGEST = 0.8  # of the longer side
_LEAST_CHANGE = 1.3 * VISIBLE  # root mean square over a defect, so that most of it is visible


@dataclass(frozen=True)
class Attempt:
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


def attempts_at(
    sketch: Sketch, family: Family, place: tuple[float, float], target: DefectStatistics, seed: int
) -> Iterator[Attempt]:
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
        if attempt.error < math.log1p(MET):
            return
        better = _corrected(ask, aim, attempt.met, drawing.as_it_is)
        ask = better if attempt.whole else replace(ask, cnr=1.5 * max(ask.cnr, aim.cnr))


def _tried(sketch: Sketch, drawing: Drawing, ask: DefectStatistics, aim: DefectStatistics) -> Attempt | None:
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
    mask = visible(part.image.astype(np.uint8), painted, sketch.size, SPECK)
    if not mask.any():
        return None
    count, label, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = label == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    grey = np.where(mask[..., None], painted, part.image).mean(axis=2, dtype=np.float32)
    met = region_statistics(grey, largest, mask, min(sketch.size))
    fine = _kept(fine, largest) if count > 2 else fine
    whole = drawing.as_it_is or bool(largest.sum() >= 0.5 * (weight >= 0.5).sum())
    error = _error(met, aim, min(sketch.size), drawing.as_it_is) + (0 if whole else 1)
    return Attempt(box, fine, change, met, error, whole)


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
