"""Many runs in one chart: a line for each, across an axis for each of its settings and figures."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from anomaly_diffusion.figures.canvas import QUIET_INK, blank_figure, png
from anomaly_diffusion.runs.display import Picture

__all__ = ["parallel_coordinates"]

Value = str | float
_WIDTH, _LEFT, _RIGHT, _HEIGHT = 150, 110, 150, 380  # pixels from an axis to the next, beside the outer ones, of all
_COLOURS = "viridis"
_BEND = 24  # points of the curve from an axis to the next
_TICKS = 5
_FAN = 0.04  # how far from their value records that share it are drawn, as a share of the axis
_BEST = 3.0  # width of the best line, in points; others have one


def parallel_coordinates(
    records: Sequence[Mapping[str, Value]], axes: Mapping[str, str], colour: str, log: Collection[str] = ()
) -> Picture:
    """An axis for each setting and figure, and across them a line for each record, in the colour of one figure.

    The record of the largest such figure is the thick line. Words stand on their axis in the order in which they
    first come; numbers from the smallest to the largest there is. Records that share a value are fanned out around it.

    Args:
        records: settings and figures by their keys, words or finite numbers; each has all that is drawn.
        axes: name of each axis by its key, from left to right, at least two.
        colour: key of the figure that colours lines, one of the axes.
        log: keys of axes that are logarithmic; their values are > 0.

    Raises:
        ValueError: there is nothing to draw, or a value is none that can be.
    """
    if not records or len(axes) < 2:
        raise ValueError(f"`records` and `axes` must be one and two at least, got {len(records)} and {len(axes)}.")
    if colour not in axes or isinstance(records[0][colour], str):
        raise ValueError(f"`colour` must be a figure among {', '.join(axes)}, got {colour}.")
    columns = {key: [record[key] for record in records] for key in axes}
    figures = np.array(columns[colour], dtype=float)
    order = np.argsort(figures, kind="stable")
    heights = np.stack([_fanned(_heights(key, has, key in log), order) for key, has in columns.items()], axis=1)
    width = _LEFT + _WIDTH * (len(axes) - 1) + _RIGHT
    drawing = blank_figure(width, _HEIGHT)
    inner = drawing.add_axes((_LEFT / width, 0.06, 1 - (_LEFT + _RIGHT) / width, 0.78))
    scale = ScalarMappable(Normalize(figures.min(), figures.max()), colormaps[_COLOURS])
    for place in order.tolist():
        line, thick = _line(heights[place]), _BEST if place == order[-1] else 1.0
        inner.plot(*line, color=scale.to_rgba(figures[place]), linewidth=thick, zorder=1 + thick)
    for place, (key, name) in enumerate(axes.items()):
        _axis(inner, place, name, _ticks(columns[key], key in log))
    inner.set(xlim=(0, len(axes) - 1), ylim=(-0.05, 1.05))
    inner.set_axis_off()
    bar = drawing.add_axes((1 - 56 / width, 0.06, 10 / width, 0.78))
    drawing.colorbar(scale, cax=bar).ax.tick_params(labelsize=7, length=2, pad=1)
    bar.set_title(axes[colour], fontsize=7, color=QUIET_INK, pad=8)
    return Picture(png(drawing), width=max(900, width))


def _heights(key: str, values: Sequence[Value], log: bool) -> Float[ndarray, " N"]:
    """Where on its axis each value lies, from 0 to 1; in the middle if all are the same."""
    if any(isinstance(value, str) for value in values):
        words = list(dict.fromkeys(values))
        places = np.array([len(words) - 1.0 - words.index(value) for value in values])  # the first on top
    else:
        places = np.array(values, dtype=float)
        if not np.isfinite(places).all() or (log and (places <= 0).any()):
            raise ValueError(f"`{key}` must be finite{' and positive' * log} in all records, got {list(values)}.")
        places = np.log(places) if log else places
    low, high = places.min(), places.max()
    heights: ndarray = (places - low) / (high - low) if high > low else np.full(len(places), 0.5)
    return heights


def _fanned(heights: Float[ndarray, " N"], order: Int[ndarray, " N"]) -> Float[ndarray, " N"]:
    """Heights with room between records of the same one, the first in order below."""
    spread, known = heights.copy(), np.unique(heights)
    reach = min(_FAN, np.diff(known).min(initial=1.0) / 3)
    for height in known:
        same = [place for place in order.tolist() if heights[place] == height]
        spread[same] += np.linspace(-reach, reach, len(same)) if len(same) > 1 else 0.0
    return spread


def _ticks(values: Sequence[Value], log: bool) -> list[tuple[float, str]]:
    """Height and label of what is written beside an axis: all words, all values of a log axis, round numbers else."""
    if log or any(isinstance(value, str) for value in values):
        known = list(dict.fromkeys(values))
        heights = _heights("", known, log)
        return [
            (float(at), one if isinstance(one, str) else f"{one:.2g}") for at, one in zip(heights, known, strict=True)
        ]
    low, high = min(map(float, values)), max(map(float, values))
    if low == high:
        return [(0.5, f"{low:.3g}")]
    rounded = [tick for tick in MaxNLocator(_TICKS).tick_values(low, high) if low <= tick <= high]
    return [((tick - low) / (high - low), f"{tick:g}") for tick in rounded]


def _line(heights: Float[ndarray, " A"]) -> tuple[Float[ndarray, " P"], Float[ndarray, " P"]]:
    """A curve that crosses every axis level, so that lines which meet on it can be told apart behind it."""
    share = np.linspace(0, 1, _BEND, endpoint=False)
    eased = share**2 * (3 - 2 * share)
    parts = [low + (high - low) * eased for low, high in pairwise(heights)]
    places = [number + share for number in range(len(parts))]
    last = len(heights) - 1.0
    return np.append(np.concatenate(places), last), np.append(np.concatenate(parts), heights[-1])


def _axis(inner: Axes, place: int, name: str, ticks: Sequence[tuple[float, str]]) -> None:
    """A vertical line with its name above and its ticks on the left."""
    inner.plot([place, place], [0, 1], color="black", linewidth=0.9, zorder=5, clip_on=False)
    inner.text(place, 1.07, name, ha="center", va="bottom", fontsize=9, parse_math=False)
    for height, label in ticks:
        inner.plot([place - 0.02, place], [height, height], color="black", linewidth=0.7, zorder=5, clip_on=False)
        inner.text(
            place - 0.035, height, label, ha="right", va="center", fontsize=8, zorder=6, parse_math=False,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
