"""What shows through a painted defect: a constant, a colour, another part of the photograph or a blurred copy of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from anomaly_diffusion.data.painting.shapes import Canvas, Place, scaled
from anomaly_diffusion.data.reading.photographs import Pixels

__all__ = ["Blurred", "Colour", "Elsewhere", "Filling", "Mixture", "Tint"]


class Filling(ABC):
    """What shows through a shape; subclasses are its materials."""

    @abstractmethod
    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Return the changed part of the photograph; values may leave [0, 255]."""


@dataclass(frozen=True)
class Tint(Filling):
    """A constant that is added to every channel."""

    amount: Float[np.ndarray, " C"]

    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Add it."""
        return np.asarray(image[place.rows, place.columns] + place.weight * self.amount.astype(np.float32))


@dataclass(frozen=True)
class Mixture(Filling):
    """Something else that the photograph is mixed with, up to a share of `opacity`."""

    opacity: float

    def fill(self, image: Pixels, place: Place, sketch: Canvas) -> Float[np.ndarray, "h w C"]:
        """Mix."""
        part = image[place.rows, place.columns].astype(np.float32)
        return part + place.weight * self.opacity * (self.other(image, place, sketch) - part)

    @abstractmethod
    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What it is mixed with, of the shape of the part or one that is spread over it."""


@dataclass(frozen=True)
class Colour(Mixture):
    """One colour."""

    colour: Float[np.ndarray, " C"]

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """That colour."""
        return self.colour.astype(np.float32)


@dataclass(frozen=True)
class Elsewhere(Mixture):
    """The photograph itself, turned by 180 degrees or mirrored, and shifted round by rows and columns of the sketch."""

    turned: bool
    shift: tuple[int, int]

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What lies elsewhere."""
        sides = zip(image.shape[:2], sketch.shape[:2], self.shift, (place.rows, place.columns), strict=True)
        row, column = (
            (np.arange(part.start, part.stop) - round(shift * side / drawn)) % side
            for side, drawn, shift, part in sides
        )
        row = image.shape[0] - 1 - row if self.turned else row
        return image[np.ix_(row, image.shape[1] - 1 - column)].astype(np.float32)


@dataclass(frozen=True)
class Blurred(Mixture):
    """A blurred copy of the photograph, `sigma` in pixels of the sketch: so smooth that the sketch's is as good."""

    sigma: float

    def other(self, image: Pixels, place: Place, sketch: Canvas) -> np.ndarray:
        """What is left of the part."""
        blurred = cv2.GaussianBlur(sketch, (0, 0), self.sigma).reshape(sketch.shape)
        if sketch.shape == image.shape:
            return np.asarray(blurred[place.rows, place.columns])
        scales = (drawn / side for drawn, side in zip(sketch.shape, image.shape[:2], strict=False))
        row, column = (
            scaled(np.arange(part.start, part.stop), scale).astype(np.float32)
            for scale, part in zip(scales, (place.rows, place.columns), strict=True)
        )
        shape = len(row), len(column)
        x, y = (np.ascontiguousarray(np.broadcast_to(at, shape)) for at in (column, row[:, None]))
        grown = cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(grown).reshape(*shape, -1)
