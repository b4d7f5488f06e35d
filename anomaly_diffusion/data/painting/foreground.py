"""Where the object is on a normal photograph: what differs from uniform surroundings at the border."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from anomaly_diffusion.data.reading.photographs import Mask

__all__ = ["foreground"]

_BORDER = 0.03  # share of the shorter side whose pixels say what the surroundings look like
_UNIFORM = 0.25  # standard deviation of the surroundings over the distance of the object from them, at most
_JOINED = 0.75  # share of the border that belongs to the surroundings, at least
_LEAST = 12.0  # grey levels by which an object differs from its surroundings
_SMOOTH = 5.0  # grey levels: standard deviation of 5 x 5 pixels of a shadow
_SHARES = (0.005, 0.9)  # of the photograph, that an object covers


def foreground(grey: Float32[np.ndarray, "H W"]) -> Mask:
    """Return the pixels of the object; all of them where there are no uniform surroundings, as on a texture.

    Surroundings are a plane of brightness, fitted to the border, as light falls off towards a side. What is farther
    from it than Otsu's threshold, or enclosed by what is, is the object, unless it leaves the photograph in more than
    one place: joints between bricks do, and so do grooves. Its shadow is none of it.

    Args:
        grey: a normal photograph of a few hundred pixels, in levels of 255.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), max(0.5, min(grey.shape) / 200))
    everything = np.ones(grey.shape, bool)
    width = max(1, round(_BORDER * min(grey.shape)))
    border = everything.copy()
    border[width:-width, width:-width] = False
    residual = smooth - _plane(smooth, border)
    off = np.abs(residual).clip(0, 255).astype(np.uint8)
    level, _ = cv2.threshold(off, 0, 255, cv2.THRESH_OTSU)
    near = off <= level
    if near.all() or off[~near].mean() < max(_LEAST, float(residual[near].std()) / _UNIFORM):
        return everything
    object_ = _enclosed(near, border)
    exits, _ = cv2.connectedComponents((object_ & border).astype(np.uint8))
    alone = exits <= 2 and (~object_)[border].mean() >= _JOINED
    if not alone or not _SHARES[0] <= object_.mean() <= _SHARES[1]:
        return everything
    lit = _enclosed(near | _shadow(smooth, off, near), border)
    return lit if lit.sum() >= object_.sum() / 2 else object_


def _enclosed(near: Mask, border: Mask) -> Mask:
    """Return what does not join the border, or would not without an object that leaves the photograph."""
    _, label = cv2.connectedComponents(near.astype(np.uint8))
    apart = ~(np.isin(label, np.unique(label[border & near])) & near)
    return _largest(cv2.morphologyEx(apart.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))


def _shadow(smooth: Float32[np.ndarray, "H W"], off: UInt8[np.ndarray, "H W"], near: Mask) -> Mask:
    """Return pixels nearer to the surroundings than to the object, and as smooth as those: the object's shadow."""
    squared = cv2.blur(np.square(smooth), (5, 5)) - np.square(cv2.blur(smooth, (5, 5)))
    rough = np.sqrt(squared.clip(0))
    level, _ = cv2.threshold(off[~near], 0, 255, cv2.THRESH_OTSU)
    flat = (off <= level) & (rough <= max(_SMOOTH, 4 * float(np.median(rough[near]))))
    return np.asarray(cv2.dilate(flat.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _plane(smooth: Float32[np.ndarray, "H W"], border: Mask) -> Float32[np.ndarray, "H W"]:
    """Fit a plane to the border, twice: the second time without what an object that is cut off adds to it."""
    row, column = np.indices(smooth.shape, np.float32) / max(smooth.shape)
    axes = np.stack([row, column, np.ones_like(row)], axis=-1)
    plane = np.full_like(smooth, np.median(smooth[border]))
    for _ in range(2):
        off = np.abs(smooth - plane)
        used = border & (off <= 3 * np.median(off[border]) + 1)
        plane = axes @ np.linalg.lstsq(axes[used], smooth[used], rcond=None)[0]
    return np.asarray(plane)


def _largest(mask: np.ndarray) -> Mask:
    """Keep the pieces of at least a tenth of the largest one's area: specks of dust are no object."""
    count, label, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count == 1:
        return np.zeros(mask.shape, bool)
    area = statistics[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.asarray((area >= 0.1 * area.max())[label])
