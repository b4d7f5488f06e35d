"""Accuracy over cost as a picture."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy import ndarray

from anomaly_diffusion.figures.canvas import QUIET_INK, TITLE_INK, blank_figure, drawn, text_size, write_text
from anomaly_diffusion.figures.label_placement import Box, place_labels, place_on_line
from anomaly_diffusion.names import CONTROLS
from anomaly_diffusion.runs.cost import CostPanel, CostPoint, pareto_front

_FRONT, _BEATEN, _CONTROL = "#1f77b4", "#8c9bab", "#c1440e"
_LEFT, _RIGHT, _TOP, _BOTTOM, _FOOT = 74, 14, 30, 46, 22  # pixels around the axes of a panel, and below all panels
_COLUMNS = 3
_WIDEST = 40  # characters of a label
_SIZE = 8.0  # points
_APART = (5, 2)  # pixels between two labels
_NOTE = "mean over runs; bars: standard deviation; line: no other is as cheap and as good; dashes: trivial controls"


def chart(panels: Sequence[CostPanel], figure: str, ending: str = ".png") -> bytes:
    """Figures over seconds per image: the points that no other beats are joined, controls are level lines.

    Args:
        panels: at least one; three to a line.
        figure: what the figure is called.
        ending: of the file, one of `names.CHARTS`.

    Raises:
        ValueError: if there is no panel, or one without a point.
    """
    if not panels or not all(panel.points for panel in panels):
        raise ValueError(f"`panels` must be at least one, each with a point, got {len(panels)}.")
    columns = min(len(panels), _COLUMNS)
    width, height = (920, 560) if columns == 1 else (600, 460)
    height = max(height, 150 + 26 * max(len(panel.points) for panel in panels))  # labels need room
    size = (columns * width, -(-len(panels) // columns) * height + _FOOT)
    drawing = blank_figure(*size)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        left, bottom = column * width + _LEFT, size[1] - (row + 1) * height + _BOTTOM
        inner = (left, bottom, left + width - _LEFT - _RIGHT, bottom + height - _TOP - _BOTTOM)
        _draw(drawing, _axes(drawing, panel, figure, inner), panel, inner)
    write_text(drawing, _LEFT, size[1] - _FOOT, _NOTE, size=_SIZE, color=QUIET_INK)
    return drawn(drawing, ending)


def _axes(drawing: Figure, panel: CostPanel, figure: str, inner: Box) -> Axes:
    left, bottom, right, top = inner
    width, height = drawing.get_size_inches() * 100
    axes = drawing.add_axes((left / width, bottom / height, (right - left) / width, (top - bottom) / height))
    axes.set_xscale("log", nonpositive="clip")
    axes.set(xlim=_cost_limits(panel.points), ylim=_figure_limits(panel))
    axes.set_title(shortened(panel.title), fontsize=10, parse_math=False)
    axes.set_xlabel("seconds per image", fontsize=9)
    axes.set_ylabel(figure, fontsize=9)
    low, high = axes.get_xlim()
    subs = (1, 1.5, 2, 3, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1000 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    return axes


def _draw(drawing: Figure, axes: Axes, panel: CostPanel, inner: Box) -> None:
    front = pareto_front(panel.points)
    axes.step([p.seconds for p in front], [p.figure for p in front], where="post", color=_FRONT, linewidth=0.8)
    for value in panel.controls.values():
        axes.axhline(value, color=_CONTROL, linewidth=0.7, linestyle=(0, (6, 4)), alpha=0.6, zorder=1)
    for point in panel.points:
        colour = _FRONT if point in front else _BEATEN
        wide, high = ([std] if std else None for std in (point.seconds_std, point.figure_std))
        axes.errorbar([point.seconds], [point.figure], high, wide, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.7)
        axes.plot([point.seconds], [point.figure], marker="o", markersize=5, color=colour, zorder=3)
    bounds = (inner[0] + 4, inner[1] + 4, inner[2] - 4, inner[3] - 4)
    levels = [_level(axes, value) for value in panel.controls.values()]
    ink = np.concatenate([_bars(axes, panel.points), _steps(axes, front), *levels])
    if panel.controls:
        ink = np.concatenate([ink, _label_control(drawing, axes, panel, bounds, ink)])
    _label_points(drawing, axes, panel.points, bounds, ink)


def _label_points(
    drawing: Figure, axes: Axes, points: Sequence[CostPoint], bounds: Box, ink: Float[ndarray, "M 2"]
) -> None:
    """Names beside their points; a thin line leads to those that found no place close by."""
    names = [shortened(name) for name in without_shared_run([point.name for point in points])]
    anchors = _pixels(axes, [(point.seconds, point.figure) for point in points])
    sizes = np.array([text_size(drawing, name, _SIZE) for name in names]) + _APART
    for name, anchor, box in zip(names, anchors, place_labels(anchors, sizes, bounds, ink), strict=True):
        _write(drawing, box, name, TITLE_INK)
        end = anchor.clip(box[:2], box[2:])
        if np.linalg.norm(end - anchor) > 14:
            ends = axes.transData.inverted().transform([anchor, end])
            axes.plot(*ends.T, color=QUIET_INK, linewidth=0.5, zorder=2)


def _label_control(
    drawing: Figure, axes: Axes, panel: CostPanel, bounds: Box, ink: Float[ndarray, "M 2"]
) -> Float[ndarray, "K 2"]:
    """Name the best control on its line; returns where the name is, densely enough that no other label covers it."""
    best = max(panel.controls, key=lambda name: panel.controls[name])
    text = f"control: {CONTROLS.get(best, best)}"
    height = _pixels(axes, [(panel.points[0].seconds, panel.controls[best])])[0, 1]
    anchors = _pixels(axes, [(point.seconds, point.figure) for point in panel.points])
    box = place_on_line(height, text_size(drawing, text, _SIZE), bounds, np.concatenate([ink, anchors]))
    _write(drawing, box, text, _CONTROL)
    sides = [np.arange(low, high) for low, high in ((box[0], box[2]), (box[1], box[3]))]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _write(drawing: Figure, box: Box, text: str, colour: str) -> None:
    height = drawing.get_size_inches()[1] * 100
    halo = [withStroke(linewidth=2, foreground="white", alpha=0.8)]
    middle = height - (box[1] + box[3]) / 2
    write_text(drawing, box[0], middle, text, size=_SIZE, color=colour, va="center", path_effects=halo)


def without_shared_run(names: Sequence[str]) -> list[str]:
    """The names of evaluations without the experiment, if it is the same for all."""
    runs = {name.split(": ")[0] for name in names}
    return [name.split(": ", 1)[-1] for name in names] if len(runs) == 1 else list(names)


def shortened(name: str) -> str:
    """The name in so many characters, without its middle."""
    half = _WIDEST // 2
    return name if len(name) <= _WIDEST else f"{name[: half - 1]}…{name[-half:]}"


def _bars(axes: Axes, points: Sequence[CostPoint]) -> Float[ndarray, "M 2"]:
    """Pixels of markers and of the bars around them."""
    dots = []
    for point in points:
        x, y, dx, dy = point.seconds, point.figure, point.seconds_std, point.figure_std
        dots += [_line(axes, (x - dx, y), (x + dx, y)), _line(axes, (x, y - dy), (x, y + dy))]
    return np.concatenate(dots)


def _steps(axes: Axes, front: Sequence[CostPoint]) -> Float[ndarray, "M 2"]:
    dots = [np.empty((0, 2))]
    for cheap, dear in pairwise(front):
        corner = (dear.seconds, cheap.figure)
        dots += [
            _line(axes, (cheap.seconds, cheap.figure), corner),
            _line(axes, corner, (dear.seconds, dear.figure)),
        ]
    return np.concatenate(dots)


def _level(axes: Axes, value: float) -> Float[ndarray, "M 2"]:
    low, high = axes.get_xlim()
    return _line(axes, (low, value), (high, value))


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> Float[ndarray, "M 2"]:
    """Pixels of a line, four apart; what lies outside of the axes ends at their edge."""
    box = axes.bbox.extents
    first, last = _pixels(axes, [start, end]).clip(box[:2], box[2:])
    count = 2 + int(np.linalg.norm(last - first) / 4)
    return np.linspace(first, last, count)


def _pixels(axes: Axes, points: Sequence[tuple[float, float]]) -> Float[ndarray, "N 2"]:
    return np.asarray(axes.transData.transform(points), dtype=float)


def _cost_limits(points: Sequence[CostPoint]) -> tuple[float, float]:
    """Around points and bars, at least a factor of four, so that there are ticks; a bar to zero has no end on a log."""
    low = min(max(p.seconds - p.seconds_std, p.seconds / 4) for p in points)
    high = max(p.seconds + p.seconds_std for p in points)
    margin = max(1.15 * (high / low) ** 0.06, 2 * (low / high) ** 0.5)
    return low / margin, high * margin


def _figure_limits(panel: CostPanel) -> tuple[float, float]:
    values = [p.figure + side * p.figure_std for p in panel.points for side in (-1, 1)]
    values += panel.controls.values()
    margin = 0.08 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin
