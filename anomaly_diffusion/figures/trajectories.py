"""Sampling trajectories: x_t and x_0_hat at each network evaluation, from the image to the reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from anomaly_diffusion.figures.canvas import (
    CELL,
    RIM,
    Picture,
    as_rgb,
    blank_figure,
    legend_height,
    map_legend,
    png,
    roomy,
    scaled,
    write_text,
)
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.figures.tiles import legend, tile_height, tiles

__all__ = ["Trajectory", "spaced", "trajectory_sheet"]

GAP, HEAD, TEXT = 14, 34, 20


@dataclass(frozen=True)
class Trajectory:
    """One image on its way through one strategy.

    Args:
        pictures: where it begins and ends.
        evaluations: (depth, x_t, x_0_hat) of some network evaluations, in their order; pixels in [0, 1].
    """

    pictures: ResultPictures
    evaluations: Sequence[tuple[float, Float[ndarray, "H W C"], Float[ndarray, "H W C"]]]


@dataclass(frozen=True)
class _Cell:
    picture: Picture
    name: str
    low: bool = False  # whether the name stands below


def spaced(total: int, count: int) -> list[int]:
    """At most `count` of `total` places: the first, the last, and evenly between."""
    return sorted({int(place) for place in np.linspace(0, total - 1, min(count, total)).round()})


def trajectory_sheet(trajectories: Sequence[Trajectory], title: str = "", limit: float = 8.0, tile: int = 130) -> bytes:
    """All trajectories below one another in one PNG, on one colour scale.

    The upper row is image | x_t at each depth | reconstruction, the lower anomaly map | x_0_hat at each | difference;
    of features the upper one ends in the normal features, the lower one in those of the image.

    Args:
        trajectories: what to show, at least one.
        title: the headline.
        limit: the z at which the colour scale ends.
        tile: height of one picture in pixels.
    """
    rows = [_cells(trajectory, limit, tile_height(trajectory.pictures, tile)) for trajectory in trajectories]
    blocks = [np.vstack([_joined(row) for row in pair]) for pair in rows]
    head = HEAD if title else 8
    notes, width = legend(trajectories[0].pictures), max(block.shape[1] for block in blocks) + 2 * GAP
    size = width, head + legend_height(width, notes) + sum(len(b) + TEXT + GAP for b in blocks)
    figure, canvas = blank_figure(*size), np.ones((size[1], size[0], 3), dtype=np.float32)
    write_text(figure, GAP, 10, title, size=11, weight="bold")
    top = head
    for trajectory, pair, block in zip(trajectories, rows, blocks, strict=True):
        write_text(figure, GAP, top, trajectory.pictures.path)
        top += TEXT
        canvas[top : top + len(block), GAP : GAP + block.shape[1]] = block
        for place, row in enumerate(pair):
            _names(figure, row, top + place * len(block) / 2)
        top += len(block) + GAP
    map_legend(figure, size, limit, notes)
    return png(figure, canvas)


def _cells(trajectory: Trajectory, limit: float, tile: int) -> tuple[list[_Cell], list[_Cell]]:
    """The upper and the lower row."""
    pictures, ends = trajectory.pictures, tiles(trajectory.pictures, limit, tile)
    map_name = "\n".join(["anomaly map", pictures.map_depth]).strip()
    upper, lower = [_Cell(ends.image, "image")], [_Cell(ends.anomaly_map, map_name, pictures.peaks_high)]
    for depth, x_t, x_0_hat in trajectory.evaluations:
        upper.append(_Cell(scaled(as_rgb(x_t), tile), f"depth {depth:.2g}"))
        lower.append(_Cell(scaled(as_rgb(x_0_hat), tile), "estimate"))
    _, *compared, _ = zip(ends, ends._fields, strict=True)
    found, beside = compared if pictures.photographs else reversed(compared)
    upper.append(_Cell(found[0], "\n".join([found[1].replace("_", " "), pictures.depth])))
    lower.append(_Cell(*beside))
    return upper, lower


def _joined(row: Sequence[_Cell]) -> Picture:
    return np.hstack([roomy(cell.picture) for cell in row])


def _names(figure: Figure, row: Sequence[_Cell], top: float) -> None:
    """What each picture of a row is, in its corner."""
    left, box = GAP, {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 2}
    for cell in row:
        at, anchor = (cell.picture.shape[0] - 6, "bottom") if cell.low else (5, "top")
        write_text(figure, left + 5, top + at, cell.name.strip(), size=8, bbox=box, va=anchor)
        left += max(cell.picture.shape[1], CELL) + RIM
