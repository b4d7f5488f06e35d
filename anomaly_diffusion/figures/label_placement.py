"""Where to write beside points so that all of it can be read."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Box = tuple[float, float, float, float]  # left, bottom, right, top
_STEP = 3  # pixels between the places that are tried
_GAP = 7  # pixels from a point to its label
_OVERLAP, _CROSSING, _ASTRAY = 1e6, 8.0, 25.0  # what counts as so many pixels of distance


def place_labels(
    anchors: Float[ndarray, "N 2"], sizes: Float[ndarray, "N 2"], bounds: Box, drawn: Float[ndarray, "M 2"]
) -> list[Box]:
    """A box for each label: near its point, within the bounds, on no other label, and on little else.

    Every place is tried; labels of crowded points choose first. Boxes overlap only where there is no room at all.

    Args:
        anchors: x and y of the labelled points, in pixels.
        sizes: width and height of the labels, in pixels.
        bounds: what no label leaves, unless it is larger.
        drawn: where other things are drawn.
    """
    boxes: dict[int, Box] = {}
    ink = _Ink(np.concatenate([drawn.reshape(-1, 2), anchors]), bounds)
    for index in np.argsort(_room(anchors), kind="stable"):
        corners = _corners(sizes[index], bounds)
        costs = _distance(anchors[index], corners) + _CROSSING * ink.inside(corners)
        costs += _OVERLAP * sum((overlap(corners, box) for box in boxes.values()), start=np.zeros(len(corners)))
        hopeful = costs <= costs.min() + _ASTRAY  # no other place can win by what follows
        corners, costs = corners[hopeful], costs[hopeful]
        costs += _ASTRAY * _astray(anchors, int(index), corners)
        left, bottom, right, top = map(float, corners[costs.argmin()])
        boxes[int(index)] = (left, bottom, right, top)
    return [boxes[index] for index in range(len(anchors))]


def place_on_line(height: float, size: Sequence[float], bounds: Box, drawn: Float[ndarray, "M 2"]) -> Box:
    """The box just above or below a level line that hides least, as far to the right as possible.

    Args:
        height: y of the line, in pixels.
        size: width and height of the label.
        bounds: what the label does not leave.
        drawn: what it should not hide.
    """
    width, tall = size
    left, bottom, right, top = bounds
    lefts = np.arange(max(left, right - width), left - 1, -_STEP)
    levels = [level for level in (height + 2, height - 2 - tall) if bottom <= level <= top - tall] or [bottom]
    corners = np.array([(x, level, x + width, level + tall) for x in lefts for level in levels])
    x, level, *_ = corners[_Ink(drawn, bounds).inside(corners).argmin()]
    return float(x), float(level), float(x + width), float(level + tall)


def overlap(corners: Float[ndarray, "K 4"], box: Box) -> Float[ndarray, " K"]:
    """The area that each of many boxes shares with one, in square pixels."""
    wide = np.minimum(corners[:, 2], box[2]) - np.maximum(corners[:, 0], box[0])
    high = np.minimum(corners[:, 3], box[3]) - np.maximum(corners[:, 1], box[1])
    area: ndarray = wide.clip(min=0) * high.clip(min=0)
    return area


class _Ink:
    """Counts what is drawn inside boxes, by sums over whole rectangles from the lower left corner (Crow 1984)."""

    def __init__(self, points: Float[ndarray, "M 2"], bounds: Box) -> None:
        left, bottom, right, top = bounds
        edges = [np.arange(np.floor(low), np.ceil(high) + 2) for low, high in ((left, right), (bottom, top))]
        counts = np.histogram2d(points[:, 0], points[:, 1], bins=edges)[0]
        self.origin = np.array([edges[0][0], edges[1][0]])
        self.sums = np.pad(counts.cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def inside(self, corners: Float[ndarray, "K 4"]) -> Float[ndarray, " K"]:
        """How many points each box holds."""
        x_0, y_0 = self._cells(np.floor(corners[:, :2])).T
        x_1, y_1 = self._cells(np.ceil(corners[:, 2:])).T
        count: ndarray = self.sums[x_1, y_1] - self.sums[x_0, y_1] - self.sums[x_1, y_0] + self.sums[x_0, y_0]
        return count

    def _cells(self, places: Float[ndarray, "K 2"]) -> Int[ndarray, "K 2"]:
        cells: ndarray = (places - self.origin).astype(int).clip(0, np.array(self.sums.shape) - 1)
        return cells


def _corners(size: Float[ndarray, " 2"], bounds: Box) -> Float[ndarray, "K 4"]:
    """Every place of a label within the bounds; the lower left one for a label that is too large."""
    left, bottom, right, top = bounds
    lefts = np.arange(left, max(right - size[0], left) + 1e-6, _STEP)
    bottoms = np.arange(bottom, max(top - size[1], bottom) + 1e-6, _STEP)
    lower = np.stack(np.meshgrid(lefts, bottoms, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([lower, lower + size], axis=1)


def _gaps(anchors: Float[ndarray, "N 2"], corners: Float[ndarray, "K 4"]) -> Float[ndarray, "K N"]:
    """From each point to the nearest place of each box."""
    nearest = anchors[None].clip(corners[:, None, :2], corners[:, None, 2:])
    gaps: ndarray = np.linalg.norm(nearest - anchors[None], axis=-1)
    return gaps


def _distance(anchor: Float[ndarray, " 2"], corners: Float[ndarray, "K 4"]) -> Float[ndarray, " K"]:
    """How far the gap is from the proper one; a label on the right, at the height of its point, reads best."""
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    aside = np.abs(centre[:, 1] - anchor[1]) / 20 + 3.0 * (corners[:, 0] < anchor[0])
    gap = _gaps(anchor[None], corners)[:, 0]
    cost: ndarray = np.where(gap < _GAP, 4.0, 1.0) * np.abs(gap - _GAP) + aside
    return cost


def _astray(anchors: Float[ndarray, "N 2"], index: int, corners: Float[ndarray, "K 4"]) -> Float[ndarray, " K"]:
    """1 for boxes that another point is nearer to, or nearly: they would be read as its label."""
    others = np.delete(anchors, index, axis=0)
    if not len(others):
        return np.zeros(len(corners))
    own = _gaps(anchors[index : index + 1], corners)[:, 0]
    nearer: ndarray = (_gaps(others, corners).min(1) < own + 3).astype(float)
    return nearer


def _room(anchors: Float[ndarray, "N 2"]) -> Float[ndarray, " N"]:
    """From each point to its nearest neighbour."""
    distances = np.linalg.norm(anchors[:, None] - anchors[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    room: ndarray = distances.min(1, initial=np.inf)
    return room
