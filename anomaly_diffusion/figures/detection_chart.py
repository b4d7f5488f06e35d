"""What size is found: the share of painted defects found over width and contrast, and the curve over width."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy import ndarray

from anomaly_diffusion.figures.canvas import QUIET_INK, blank_figure, png
from anomaly_diffusion.runs.detection_limit import DetectionLimit, FamilyLimit, SizedDefect

__all__ = ["detection_chart"]

_REAL = "#0f9f8f"
_WIDE, _HIGH = 300, 270  # pixels of a panel


def detection_chart(limit: DetectionLimit) -> bytes:
    """A column for each family, as a PNG: above the share found over width x contrast, below the curve over width.

    Real defects of the test photographs are ticks at the edges.
    """
    count = len(limit.families)
    figure = blank_figure(110 + _WIDE * count, 60 + 2 * _HIGH)
    panels = figure.subplots(2, count, squeeze=False, sharex=True, sharey="row")
    for column, family in enumerate(limit.families):
        shares = _map(panels[0, column], family, limit)
        _curve(panels[1, column], family, limit.real)
    _label(panels)
    width = 110 + _WIDE * count
    figure.subplots_adjust(left=60 / width, right=1 - 80 / width, top=0.93, bottom=0.13)
    bar = figure.colorbar(shares, cax=figure.add_axes((1 - 65 / width, 0.56, 10 / width, 0.37)))
    bar.set_label("share found", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    told = f"at {100 * limit.false_alarms:.2g} % false alarms"
    if limit.real:
        told += f"; green ticks: {len(limit.real)} real defects of the test photographs"
    figure.text(0.5, 0.02, told, ha="center", fontsize=9, color=QUIET_INK)
    return png(figure)


def _map(axes: Axes, family: FamilyLimit, limit: DetectionLimit) -> QuadMesh:
    """Share found in each cell of the grid; defects are counted where they were met."""
    edges = [_edges(np.asarray(asked)) for asked in (limit.contrasts, limit.widths)]
    places = np.array([[defect.cnr, defect.width] for defect in family.defects]).reshape(-1, 2).T
    found = np.array([bool(defect.found) for defect in family.defects], float)
    cnr, width = (np.clip(place, edge[0], edge[-1]) for place, edge in zip(places, edges, strict=True))
    total = np.histogram2d(cnr, width, edges)[0]
    hits = np.histogram2d(cnr, width, edges, weights=found)[0]
    share = np.where(total > 0, hits / np.maximum(total, 1), np.nan)
    shown = axes.pcolormesh(edges[1], edges[0], share, vmin=0, vmax=1, cmap="viridis")
    _ticks(axes, limit.real)
    axes.set(xscale="log", yscale="log", title=family.family)
    axes.set_yticks(list(limit.contrasts), [f"{contrast:.2g}" for contrast in limit.contrasts], fontsize=8)
    axes.minorticks_off()
    return shown


def _curve(axes: Axes, family: FamilyLimit, real: Sequence[SizedDefect]) -> None:
    width = np.array([defect.width for defect in family.defects])
    found = np.array([bool(defect.found) for defect in family.defects])
    for answer, height, below in ((True, 1.0, False), (False, 0.0, True)):
        chosen = width[found == answer]
        axes.plot(chosen, np.full(len(chosen), height), "v" if below else "^", ms=4, alpha=0.35, color="#444444")
    if family.curve:
        sizes = np.geomspace(width.min(), width.max(), 100)
        intercept, slope = (family.curve[name]["value"] for name in ("intercept", "slope"))
        axes.plot(sizes, 1 / (1 + np.exp(-intercept - slope * np.log(sizes))), color="#1f77b4")
        for name, style in (("a90", "-"), ("a90_95", ":")):
            if family.curve[name] and width.min() <= family.curve[name] <= width.max():
                axes.axvline(family.curve[name], linestyle=style, color="#c1440e", linewidth=1)
                axes.annotate(name.replace("_", "/"), (family.curve[name], 0.5), fontsize=8, color="#c1440e")
    else:
        axes.text(0.5, 0.5, "no curve", transform=axes.transAxes, ha="center", color=QUIET_INK)
    _ticks(axes, real, both=False)
    axes.axhline(0.9, color=QUIET_INK, linewidth=0.5)
    axes.set(ylim=(-0.08, 1.08))
    axes.grid(alpha=0.25)


def _ticks(axes: Axes, real: Sequence[SizedDefect], both: bool = True) -> None:
    """A tick for each real defect: its width at the lower edge, its contrast at the left one."""
    low, left = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    axes.plot([one.width for one in real], [0.0] * len(real), "|", ms=9, color=_REAL, transform=low, clip_on=True)
    if both:
        axes.plot([0.0] * len(real), [one.cnr for one in real], "_", ms=9, color=_REAL, transform=left, clip_on=True)


def _label(panels: ndarray) -> None:
    for axes in panels[1]:
        low, high = axes.get_xlim()
        marks = [mark for mark in (0.01, 0.02, 0.04, 0.08, 0.16) if low <= mark <= high]
        axes.set_xticks(marks, [f"{100 * mark:g} %" for mark in marks], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel("width / shorter side", fontsize=9)
    panels[0, 0].set_ylabel("contrast-to-noise ratio", fontsize=9)
    panels[1, 0].set_ylabel("probability of detection", fontsize=9)


def _edges(middles: Float[ndarray, " n"]) -> Float[ndarray, " n+1"]:
    """Edges of cells whose middles those are, as far apart in the logarithm; one cell is a factor of two wide."""
    logs = np.log(middles)
    if len(logs) == 1:
        return np.asarray(np.exp(logs[0] + np.array([-0.5, 0.5]) * np.log(2)))
    between = (logs[1:] + logs[:-1]) / 2
    return np.asarray(np.exp(np.concatenate([[2 * logs[0] - between[0]], between, [2 * logs[-1] - between[-1]]])))
