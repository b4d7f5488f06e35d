"""Detection limits of several runs and data sets in one picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from anomaly_diffusion.figures.canvas import QUIET_INK, blank_figure, drawn
from anomaly_diffusion.runs.detection_panels import DetectionMark, DetectionPanel

__all__ = ["detection_sets_chart"]

_INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito (2008)
_SHAPES = "osD^vPX"
_LEFT, _WIDE, _ROW, _TOP, _FOOT, _NARROWEST = 120, 270, 58, 30, 100, 560  # pixels
_MOST = len(_INKS)
_NOTE = (
    "filled: width of which 90 % are found; line: to where at least 90 % are, with 95 % confidence\n"
    "hollow, at the right: share found where no width is found so often"
)


def detection_sets_chart(panels: Sequence[DetectionPanel], ending: str = ".png") -> bytes:
    """A panel for each data set, a row for each family of painted defects, a mark for each run.

    Args:
        panels: at least one.
        ending: of the file, one of `names.CHARTS`.

    Raises:
        ValueError: there is no panel, or there are more methods than the eye tells apart.
    """
    methods = list(dict.fromkeys(mark.method for panel in panels for mark in panel.marks))
    if not panels or len(methods) > _MOST:
        raise ValueError(
            f"Panels must be at least one, of at most {_MOST} methods, got {len(panels)} of {len(methods)}."
        )
    families = list(dict.fromkeys(mark.family for panel in panels for mark in panel.marks))
    width, height = max(_NARROWEST, _LEFT + _WIDE * len(panels)), _TOP + _ROW * len(families) + _FOOT
    figure = blank_figure(width, height)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel, families, methods)
    axes[0].set_yticks(range(len(families)), families, fontsize=9)
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - 14 / width, top=1 - _TOP / height, bottom=_FOOT / height, wspace=0.06
    )
    looks = [
        Line2D([], [], linestyle="", marker=_SHAPES[n], color=_INKS[n], label=name) for n, name in enumerate(methods)
    ]
    figure.legend(
        handles=looks,
        loc="lower center",
        ncols=len(methods),
        fontsize=9,
        frameon=False,
        bbox_to_anchor=(0.5, 28 / height),
    )
    figure.text(0.5, 6 / height, _NOTE, ha="center", fontsize=7.5, color=QUIET_INK)
    return drawn(figure, ending)


def _draw(axes: Axes, panel: DetectionPanel, families: Sequence[str], methods: Sequence[str]) -> None:
    low, high = panel.widths[0], panel.widths[-1]
    never = high * (high / low) ** 0.14  # where what is not found often enough is drawn
    end = never * (high / low) ** 0.24  # its share is written beside it
    axes.axvspan(high * (high / low) ** 0.06, end, color="#f2f2f2", linewidth=0)
    for row in range(1, len(families)):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.6)
    for mark in panel.marks:
        number = methods.index(mark.method)
        place = families.index(mark.family) + _offset(panel.marks, mark, number, len(methods))
        _mark(axes, mark, place, _INKS[number], _SHAPES[number], (low, never))
    axes.set_xscale("log")
    axes.set(xlim=(low * (low / high) ** 0.04, end), ylim=(len(families) - 0.5, -0.5))
    axes.set_title(panel.title, fontsize=10, parse_math=False)
    ticks = [width for width in (0.01, 0.02, 0.04, 0.08, 0.16) if low <= width <= high]
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("width / shorter side", fontsize=9)


def _offset(marks: Sequence[DetectionMark], mark: DetectionMark, number: int, methods: int) -> float:
    """Where in the row of its family a mark stands: methods one below the other, runs of one close together."""
    runs = [one for one in marks if (one.family, one.method) == (mark.family, mark.method)]
    within = [one is mark for one in runs].index(True) - (len(runs) - 1) / 2
    return (number + 0.5) / methods * 0.84 - 0.42 + within * 0.06


def _mark(axes: Axes, mark: DetectionMark, place: float, ink: str, shape: str, ends: tuple[float, float]) -> None:
    low, never = ends
    if mark.a90 is None:
        axes.plot([never], [place], shape, ms=5, mfc="white", color=ink)
        axes.annotate(
            f"{100 * mark.found:.0f} %",
            (never, place),
            (6, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color=ink,
        )
        return
    smallest = float(np.clip(mark.a90, low, None))
    axes.plot([smallest, mark.bound or never], [place, place], "-" if mark.bound else ":", color=ink, linewidth=1.2)
    axes.plot([smallest], [place], shape, ms=5, color=ink)
