"""Paints defects on good photographs, with exact masks: validation on every data set, and the built-in test images.

Sizes are relative to the shorter side, brightness to the range of 8 bit. Lengths are drawn log-uniformly, so that there
are as many defects between 2 and 4 % of the side as between 8 and 16 %. At `severity` 1 a defect is visible to a person
who looks for it, not blatant; strengths fall in proportion to `severity`. No detector was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.random import Generator

from anomaly_diffusion.data.reading import Mask, Pixels

__all__ = ["DEFECTS", "VISIBLE", "ColourShift", "Defect", "Missing", "Painted", "Painter", "Paste", "Scratch", "Stain"]

VISIBLE = 8  # levels of 255: a smaller change is undone, a larger one belongs to the mask
_AREA = (0.0008, 0.25)  # share of the photograph that a defect covers
_SPECK = 0.0003  # share of the photograph below which a separate piece of a defect is undone
_ATTEMPTS = 100

Canvas = Float32[np.ndarray, "H W C"]
Weight = Float32[np.ndarray, "H W 1"]


@dataclass(frozen=True)
class Painted:
    """A photograph with a painted defect: outside `mask` it is untouched."""

    image: Pixels
    mask: Mask
    kind: str


class Defect:
    """Changes a photograph around a point; subclasses are the kinds."""

    kind = "defect"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Return the changed photograph, values may leave [0, 255].

        Args:
            image: the good photograph.
            centre: row and column of the defect.
            generator: draws shape and strength.
            severity: (0, 1].
        """
        raise NotImplementedError


class Scratch(Defect):
    """A thin, slightly bent, bright or dark line, 5 to 45 % of the side long."""

    kind = "scratch"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Draw a quadratic Bezier curve through `centre`."""
        side = min(image.shape[:2])
        angle, half = generator.uniform(0, np.pi), side * _log_uniform(generator, 0.025, 0.225)
        along = half * np.array([np.cos(angle), np.sin(angle)])
        bend = generator.uniform(-0.3, 0.3) * along[::-1] * [1, -1]
        s = np.linspace(-1, 1, 24)[:, None]
        points = np.array(centre[::-1]) + s * along + (1 - s**2) * bend
        line = np.zeros(image.shape[:2], np.uint8)
        thickness = max(1, round(side * generator.uniform(0.006, 0.016)))
        cv2.polylines(line, [(points * 16).round().astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
        change = float(_sign(image, line > 0, generator) * generator.uniform(40, 75) * severity)
        return np.asarray(image + change / 255 * line[..., None], np.float32)


class Stain(Defect):
    """A soft blob that darkens what lies below it or bleaches it, 2 to 14 % of the side in radius."""

    kind = "stain"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Mix the photograph with a dark or a light colour."""
        blob = _blob(image, centre, generator, (0.02, 0.14), softness=0.5)
        colour = 128 + 110 * _sign(image, blob[..., 0] > 0, generator) + generator.uniform(-15, 15, image.shape[2])
        opacity = blob * (generator.uniform(0.2, 0.4) * severity)
        return np.asarray(image + opacity * (colour - image), np.float32)


class Paste(Defect):
    """A piece of the same photograph, turned, in the wrong place, 2 to 16 % of the side in radius."""

    kind = "paste"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Shift a turned copy of the photograph so that another part of it shows through a blob."""
        blob = _blob(image, centre, generator, (0.02, 0.16), softness=0.1)
        height, width = image.shape[:2]
        turned = np.rot90(image, 2) if generator.random() < 0.5 else image[:, ::-1]
        shift = generator.integers(height), generator.integers(width)
        return np.asarray(image + blob * severity * (np.roll(turned, shift, axis=(0, 1)) - image), np.float32)


class Missing(Defect):
    """A patch whose texture is wiped away, 2 to 16 % of the side in radius."""

    kind = "missing"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Mix the photograph with a blurred copy of itself."""
        blob = _blob(image, centre, generator, (0.02, 0.16), softness=0.2)
        sigma = min(image.shape[:2]) * generator.uniform(0.06, 0.12)
        blurred = cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)
        return np.asarray(image + blob * severity * (blurred - image), np.float32)


class ColourShift(Defect):
    """A patch of another colour, or of another brightness where the photograph is grey, 2 to 20 % in radius."""

    kind = "colour"

    def paint(self, image: Canvas, centre: tuple[int, int], generator: Generator, severity: float) -> Canvas:
        """Add a constant to every channel."""
        blob = _blob(image, centre, generator, (0.02, 0.2), softness=0.2)
        change = _sign(image, blob[..., 0] > 0, generator) * generator.uniform(18, 36) * severity
        tint = generator.uniform(0.3, 1, image.shape[2]) if image.shape[2] > 1 else np.ones(1)
        return np.asarray(image + blob * (change * tint), np.float32)


DEFECTS: tuple[Defect, ...] = (Scratch(), Stain(), Paste(), Missing(), ColourShift())


class Painter:
    """Paints one defect on a photograph, of a random kind, where there is something to see.

    The mask holds the pixels that change by `VISIBLE` levels or more, with gaps of a pixel or two closed as a person
    would who draws round a defect; loose specks and weaker changes are undone, so nothing outside the mask differs.

    Args:
        severity: strength of the change, (0, 1].
        defects: the kinds to draw from.
    """

    def __init__(self, severity: float = 1.0, defects: Sequence[Defect] = DEFECTS) -> None:
        if not 0 < severity <= 1:
            raise ValueError(f"`severity` must lie in (0, 1], got {severity}.")
        self.severity, self.defects = severity, defects

    def __call__(self, image: Pixels, generator: Generator) -> Painted:
        """Paint a defect; the same generator state paints the same.

        Raises:
            ValueError: if the photograph is such that no defect can be seen on it.
        """
        canvas, places = image.astype(np.float32), _interest(image)
        for _ in range(_ATTEMPTS):
            defect = self.defects[int(generator.integers(len(self.defects)))]
            row, column = divmod(int(np.searchsorted(places, generator.random() * places[-1])), image.shape[1])
            changed = defect.paint(canvas, (row, column), generator, self.severity)
            painted = (changed.clip(0, 255) + 0.5).astype(np.uint8)
            mask = _visible(image, painted)
            if _AREA[0] <= mask.mean() <= _AREA[1] and mask.sum() >= 4:
                return Painted(np.where(mask[..., None], painted, image), mask, defect.kind)
        kinds = ", ".join(defect.kind for defect in self.defects)
        raise ValueError(
            f"No visible defect ({kinds}) fits on {image.shape[1]} x {image.shape[0]} pixels; raise `severity`."
        )


def _visible(image: Pixels, painted: Pixels) -> Mask:
    """Return where two photographs differ visibly, gaps closed and specks left out."""
    changed = (cv2.absdiff(image, painted).reshape(image.shape).max(axis=2) >= VISIBLE).astype(np.uint8)
    width = 1 + 2 * max(1, round(min(image.shape[:2]) / 128))
    border = width  # closing must not see the edge of the photograph as a defect
    padded = cv2.copyMakeBorder(changed, border, border, border, border, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    pieces, label, statistics, _ = cv2.connectedComponentsWithStats(closed[border:-border, border:-border])
    large = statistics[:, cv2.CC_STAT_AREA] >= max(3, _SPECK * changed.size)
    large[0] = False
    return large[label] if pieces > 1 else np.zeros(changed.shape, bool)


def _interest(image: Pixels) -> np.ndarray:
    """Return cumulated weights of pixels: local contrast, so that an object is hit rather than its background."""
    grey = image.mean(axis=2, dtype=np.float32)
    sigma = min(grey.shape) / 16
    mean = cv2.GaussianBlur(grey, (0, 0), sigma)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur(grey**2, (0, 0), sigma) - mean**2, 0))
    weight = np.zeros_like(grey)
    margin = min(grey.shape) // 10  # a defect is not cut in half by the border
    inner = slice(margin, grey.shape[0] - margin), slice(margin, grey.shape[1] - margin)
    weight[inner] = deviation[inner] + 0.1 * deviation.max() + 1e-3
    return np.asarray(np.cumsum(weight, dtype=np.float64))


def _blob(
    image: Canvas, centre: tuple[int, int], generator: Generator, radius: tuple[float, float], softness: float
) -> Weight:
    """Return the weights of a wobbly ellipse: 1 inside, falling to 0 over the outer `softness` of its radius."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    y, x = rows - centre[0], columns - centre[1]
    length = max(2.0, min(height, width) * _log_uniform(generator, *radius))
    aspect, turn = generator.uniform(0.6, 1.0), generator.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / aspect
    angle = np.arctan2(v, u)
    wobble = sum(generator.uniform(0, 0.2 / k) * np.cos(k * angle + generator.uniform(0, 6.3)) for k in (2, 3, 5))
    distance = np.hypot(u, v) / (length * (1 + wobble))
    return np.asarray(np.clip((1 - distance) / softness, 0, 1), np.float32)[..., None]


def _log_uniform(generator: Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** generator.random())


def _sign(image: Canvas, where: Mask, generator: Generator) -> int:
    """Draw brighter or darker, but leave room for the change."""
    level = float(image[where].mean()) if where.any() else float(image.mean())
    return 1 if level < 60 else -1 if level > 195 else int(generator.choice((-1, 1)))
