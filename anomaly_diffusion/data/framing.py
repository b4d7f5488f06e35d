"""Resizing policies (resize, letterbox, center crop) from files to frames, and of anomaly maps back to file size."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from anomaly_diffusion.data.reading.photographs import Mask, Pixels
from anomaly_diffusion.data.regions import FramedMask, frame_mask

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Box", "CenterCrop", "Letterbox", "Placement", "Policy", "Resize", "to_original"]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the index of its pixels."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Placement:
    """Which part of a photograph fills which part of the frame.

    Attributes:
        source: in the photograph.
        target: in the frame.
        image_size: height and width of the frame.
    """

    source: Box
    target: Box
    image_size: tuple[int, int]

    def image(self, pixels: Pixels) -> Pixels:
        """Frame a photograph: area average where it shrinks, linear where it grows, padding repeats the border."""
        channels = pixels.shape[2]
        part = _resized(pixels[self.source.slices], self.target.height, self.target.width)
        padded = np.asarray(cv2.copyMakeBorder(part, *self._padding(), cv2.BORDER_REPLICATE), np.uint8)
        return padded.reshape(*self.image_size, channels)

    def mask(self, mask: Mask) -> FramedMask:
        """Frame a mask, each region as one (`frame_mask`), and tell what became of its regions."""
        part, regions = frame_mask(mask, self.source.slices, (self.target.height, self.target.width))
        framed = np.zeros(self.image_size, bool)
        framed[self.target.slices] = part
        return FramedMask(framed, regions)

    def in_file(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the frame lies in the photograph; pixel edges, the first at 0."""
        source, target = self.source, self.target
        return (
            source.left + (x - target.left) * source.width / target.width,
            source.top + (y - target.top) * source.height / target.height,
        )

    def valid(self) -> Mask:
        """Return the pixels of the frame that belong to the photograph."""
        valid = np.zeros(self.image_size, bool)
        valid[self.target.slices] = True
        return valid

    def _padding(self) -> tuple[int, int, int, int]:
        height, width = self.image_size
        box = self.target
        return box.top, height - box.top - box.height, box.left, width - box.left - box.width


class Policy(ABC):
    """Decides where a photograph of any size goes in a frame; subclasses are the choices."""

    @abstractmethod
    def place(self, size: tuple[int, int], image_size: tuple[int, int]) -> Placement:
        """Return the placement.

        Args:
            size: height and width of the photograph.
            image_size: height and width of the frame.
        """


class Resize(Policy):
    """The whole photograph fills the whole frame; its aspect changes."""

    def place(self, size: tuple[int, int], image_size: tuple[int, int]) -> Placement:
        """Return the placement of the whole in the whole."""
        return Placement(Box(0, 0, *size), Box(0, 0, *image_size), image_size)


class Letterbox(Policy):
    """The whole photograph keeps its aspect in the middle of the frame; padding is marked as not valid."""

    def place(self, size: tuple[int, int], image_size: tuple[int, int]) -> Placement:
        """Return the placement of the whole in the largest box of its aspect."""
        return Placement(Box(0, 0, *size), _inner(image_size, size), image_size)


class CenterCrop(Policy):
    """The largest middle part of the frame's aspect fills the frame; defects outside it are not seen."""

    def place(self, size: tuple[int, int], image_size: tuple[int, int]) -> Placement:
        """Return the placement of the middle in the whole."""
        return Placement(_inner(size, image_size), Box(0, 0, *image_size), image_size)


def to_original(
    anomaly_map: "Float[Tensor, '1 H W']", size: tuple[int, int], policy: Policy, outside: float = 0.0
) -> "Float[Tensor, '1 H0 W0']":
    """Bring a map from the frame back to the pixels of the file, bilinearly.

    Args:
        anomaly_map: a map of the frame.
        size: height and width of the file.
        policy: what made the frame.
        outside: value of pixels that the frame does not show, which only CenterCrop leaves.
    """
    import torch  # here alone: frames can be made where it is not installed
    from torch.nn import functional as F

    height, width = anomaly_map.shape[-2:]
    placement = policy.place(size, (height, width))
    part = anomaly_map[:, *placement.target.slices]
    source = placement.source
    part = F.interpolate(part[None], (source.height, source.width), mode="bilinear", align_corners=False)[0]
    original = torch.full((1, *size), outside, dtype=part.dtype, device=part.device)
    original[:, *source.slices] = part
    return original


def _inner(outer: tuple[int, int], aspect: tuple[int, int]) -> Box:
    """Return the largest box with the given aspect in the middle of `outer`."""
    scale = min(outer[0] / aspect[0], outer[1] / aspect[1])
    height, width = (max(1, min(side, round(scale * length))) for side, length in zip(outer, aspect, strict=True))
    return Box((outer[0] - height) // 2, (outer[1] - width) // 2, height, width)


def _resized(pixels: Pixels, height: int, width: int) -> NDArray[np.uint8]:
    shrunk = min(width, pixels.shape[1]), min(height, pixels.shape[0])
    pixels = cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
