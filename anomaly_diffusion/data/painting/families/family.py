"""The base class of all families of painted defects, and what one is drawn with: sketch, stencil, material.

A defect is decided on a sketch, the photograph at `FRAME` pixels. Its outline is a stencil, `FINE` times finer than the
sketch; its material is what shows through. The painter gives the material the brightness and the roughness that were
asked for, and renders both at the size of the photograph.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.random import Generator

from anomaly_diffusion.data.painting.foreground import foreground
from anomaly_diffusion.data.painting.statistics import framed
from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = [
    "FINE",
    "Canvas",
    "Drawing",
    "Family",
    "Form",
    "Outline",
    "Sketch",
    "grain",
    "lattice",
    "log_uniform",
    "placed",
    "profile",
    "tint",
]

FINE = 4  # pixels of a stencil along one of the sketch
Canvas = Float32[np.ndarray, "H W C"]
Outline = UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Sketch:
    """The copy of a photograph on which a defect is decided.

    Attributes:
        image: in levels of 255.
        object: where the object is; everywhere on a texture.
    """

    image: Canvas
    object: Mask

    @classmethod
    def of(cls, image: Pixels) -> "Sketch":
        """Average a photograph down to the frame in which defects are measured."""
        height, width = framed(image.shape)
        small = (
            image
            if image.shape[:2] == (height, width)
            else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        )
        canvas = small.reshape(height, width, -1).astype(np.float32)
        return cls(canvas, foreground(canvas.mean(axis=2)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.object.shape

    @cached_property
    def grey(self) -> Float32[np.ndarray, "H W"]:
        """The mean of the channels."""
        return np.asarray(self.image.mean(axis=2))

    @property
    def has_background(self) -> bool:
        """Whether it shows an object in uniform surroundings."""
        return not self.object.all()


@dataclass(frozen=True)
class Form:
    """The size of a defect.

    Attributes:
        centre: row and column in the sketch.
        width: diameter of the largest disc inside, in pixels of the sketch.
        elongation: length over width, at least 1.
    """

    centre: tuple[float, float]
    width: float
    elongation: float


@dataclass(frozen=True)
class Drawing:
    """A defect as a family draws it.

    Attributes:
        outline: the whole sketch, `FINE` times finer: 255 inside, 0 outside, between at its edge.
        material: what shows inside, of the shape of the sketch; only its variation counts, unless `as_it_is`.
        sign: 1 for brighter than its surroundings, -1 for darker.
        tint: strength of the change in each channel, 1 in the mean.
        as_it_is: whether the material shows with its own brightness, as a missing part does.
        on_object: whether it ends where the object ends.
    """

    outline: Outline
    material: Canvas
    sign: int
    tint: Float32[np.ndarray, " C"]
    as_it_is: bool = False
    on_object: bool = True


class Family(ABC):
    """Draws defects of one family.

    Attributes:
        kind: its name, which `ImageBatch.kind` carries.
        share: how often it is drawn, relative to other families.
        elongated: whether it has long defects only, compact ones only (False), or both (None).
    """

    kind: ClassVar[str]
    share: ClassVar[float] = 1.0
    elongated: ClassVar[bool | None] = False

    def suits(self, sketch: Sketch) -> bool:
        """Whether it can be drawn on this photograph."""
        return True

    def places(self, sketch: Sketch) -> Mask:
        """Return where its centre may lie: on the object."""
        return sketch.object

    @abstractmethod
    def draw(self, sketch: Sketch, form: Form, generator: Generator) -> Drawing:
        """Draw a defect.

        Args:
            sketch: the normal photograph.
            form: where and how large; a width that is met roughly is corrected by the painter, which draws again from
                the same state of the generator.
            generator: draws everything else.
        """


def placed(
    pattern: Outline, sketch: Sketch, form: Form, turn: float = 0.0, content: np.ndarray | None = None
) -> np.ndarray:
    """Put a pattern (255 inside) on the outline, scaled so that its largest disc has the width of the form.

    Args:
        pattern: what belongs to the defect, of any size; the piece with the largest disc is taken.
        sketch: gives the size.
        form: gives place and width.
        turn: angle in radians.
        content: of the size of the pattern; if given, this is put there instead, and goes on beyond its border.
    """
    inside = cv2.copyMakeBorder((pattern >= 128).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance, (_, label) = cv2.distanceTransform(inside, cv2.DIST_L2, 5), cv2.connectedComponents(inside)
    piece = (label == label.flat[distance.argmax()])[1:-1, 1:-1]
    middle = np.argwhere(piece).mean(axis=0)[::-1] + 0.5
    scale = FINE * form.width / max(1.0, 2 * float(distance.max()) - 1)
    shown = np.where(piece, pattern, 0).astype(np.uint8) if content is None else content
    shrink = min(1.0, 2 * scale)  # linear interpolation skips pixels where it shrinks to less than half
    shown = cv2.resize(shown, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else shown
    cosine, sine = scale / shrink * np.cos(turn), scale / shrink * np.sin(turn)
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    matrix[:, 2] = FINE * (np.array(form.centre[::-1]) + 0.5) - matrix[:, :2] @ (middle * shrink)
    border = cv2.BORDER_CONSTANT if content is None else cv2.BORDER_REPLICATE
    size = FINE * sketch.size[1], FINE * sketch.size[0]
    return np.asarray(cv2.warpAffine(shown, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border))


def lattice(generator: Generator, size: tuple[int, int], period: tuple[float, float]) -> Float32[np.ndarray, "h w"]:
    """Smooth noise: standard normal numbers on a lattice of that period (rows, columns), joined by cubics."""
    cells = (max(2, int(np.ceil(side / step)) + 1) for side, step in zip(size, period, strict=True))
    return np.asarray(
        cv2.resize(generator.standard_normal(tuple(cells), np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    )


def grain(generator: Generator, sketch: Sketch, finest: float, coarsest: float) -> Canvas:
    """Grey noise of unit variance, blurred by a log-uniform number of pixels of the sketch."""
    noise = generator.standard_normal(sketch.size, np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), log_uniform(generator, finest, max(coarsest, finest)))
    return np.asarray(noise / max(float(noise.std()), 1e-6))[..., None].repeat(sketch.image.shape[2], axis=2)


def profile(outline: Outline, sketch: Sketch, width: float) -> Canvas:
    """How deep in the defect a pixel lies, of about unit variance inside: lines are strongest along their middle."""
    inside = cv2.resize(outline, sketch.size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    deep = cv2.GaussianBlur(inside, (0, 0), max(0.6, 0.35 * width))
    known = deep[inside > 0.5] if (inside > 0.5).any() else deep
    return np.asarray((deep - known.mean()) / max(float(known.std()), 0.02))[..., None].repeat(
        sketch.image.shape[2], axis=2
    )


def log_uniform(generator: Generator, low: float, high: float) -> float:
    """Draw as often between 1 and 2 as between 2 and 4."""
    return float(low * (high / low) ** generator.random())


def tint(generator: Generator, channels: int, strength: float) -> Float32[np.ndarray, " C"]:
    """Draw how strongly each channel changes: 1 in the mean, and apart by up to `strength`."""
    drawn = 1 + strength * generator.uniform(-1, 1, channels) if channels > 1 else np.ones(1)
    return np.asarray(drawn / drawn.mean(), np.float32)
