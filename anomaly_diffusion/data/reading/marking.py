"""Binarisation of masks: which pixels of a mask file are defects, with label values, grey levels or JPEG noise."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Num
from numpy.typing import NDArray

__all__ = ["Marked", "marked"]

_FEW = 8  # values of a mask that can all be labels
_LABEL = 32  # a mask that is nowhere brighter holds numbers of labels, not shades
_NOISE = 1 / 8  # of the maximum: by so much JPEG may move a value
_VALLEY = 0.25  # pixels between nothing and a label, for each pixel of the label, that edges and noise explain


class Marked(NamedTuple):
    """The marked pixels of a mask, and how they were told.

    Attributes:
        mask: True where the mask marks a defect.
        soft: whether grey levels were taken for shades of one mark.
        faint: whether labels are as faint as the noise of a lossy format.
    """

    mask: Bool[np.ndarray, "H W"]
    soft: bool
    faint: bool


def marked(pixels: Num[np.ndarray, "H W *channels"], lossy: bool) -> Marked:
    """Tell the marked pixels of a decoded mask.

    Few distinct values are labels: every one but 0 is a defect. Many grey levels are shades, as JPEG, smooth brushes
    and resizing make them: half of the maximum decides, or half of the faintest label where there are several in a
    lossy file. Few values that climb from pixel to pixel are shades as well.

    Args:
        pixels: grey or coloured, maybe with an alpha channel, of any type.
        lossy: whether the format of the file changes values.
    """
    shades = _Shades.of(_grey(pixels))
    labels = shades.are_labels(lossy)
    mask = shades.values > 0 if labels else shades.values >= shades.limit()
    return Marked(mask, not labels, labels and lossy and len(shades.levels) > 1)


@dataclass(frozen=True)
class _Shades:
    """One number a pixel, >= 0, and the distinct ones above 0 in their order."""

    values: NDArray[np.float32]
    levels: NDArray[np.float32]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "_Shades":
        return cls(values, np.unique(values[values > 0]))

    @property
    def top(self) -> float:
        return float(self.levels[-1])

    def are_labels(self, lossy: bool) -> bool:
        if len(self.levels) < 2 or 1 < self.top < _LABEL:
            return True
        return not lossy and len(self.levels) <= _FEW and not self._climb()

    def limit(self) -> float:
        """Return half of the maximum, or of the faintest label if plains of several heights stand in a lossy file."""
        flat = self.values[(self._highest() - self._lowest() <= 2 * _NOISE * self.top) & self._above_noise]
        lowest = float(np.quantile(flat, 0.05)) if flat.size else self.top
        return lowest / 2 if lowest < 0.75 * self.top and self._stands_alone(lowest) else self.top / 2

    def _climb(self) -> bool:
        """Whether most pixels between black and white have a lower and a higher one beside them, as on a soft edge."""
        between = self._above_noise & (self.values < (1 - _NOISE) * self.top)
        slope = (self._highest() > self.values) & (self._lowest() < self.values)
        return bool(between.any() and slope[between].mean() > 0.5)

    def _stands_alone(self, level: float) -> bool:
        """Whether hardly a pixel lies between a level and black: a smooth mark has all shades."""
        around, below = (
            int(((self.values >= low * level) & (self.values < high * level)).sum())
            for low, high in ((0.75, 1.25), (0.4, 0.75))
        )
        return below < _VALLEY * around

    @property
    def _above_noise(self) -> NDArray[np.bool_]:
        return np.asarray(self.values > _NOISE * self.top)

    def _highest(self) -> NDArray[np.float32]:
        return np.asarray(cv2.dilate(self.values, np.ones((3, 3))), np.float32)

    def _lowest(self) -> NDArray[np.float32]:
        return np.asarray(cv2.erode(self.values, np.ones((3, 3))), np.float32)


def _grey(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the brightest channel as a viewer shows it on black; alpha where there is nothing but alpha.

    An alpha channel of one value says nothing.
    """
    values = np.abs(pixels.reshape(*pixels.shape[:2], -1).astype(np.float32))
    if values.shape[2] not in (2, 4):
        return np.asarray(values.max(axis=2))
    colour, alpha = values[..., :-1].max(axis=2), values[..., -1]
    if alpha.min() == alpha.max():
        return np.asarray(colour)
    shown = colour * (alpha > 0) * (alpha / alpha.max())
    return np.asarray(shown if shown.any() else alpha)
