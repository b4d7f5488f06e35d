"""What the verdicts of a test are worth: scores and limit, curves with the operating point, recall by kind."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy import ndarray

from anomaly_diffusion.figures.canvas import QUIET_INK, RIGHT, WRONG, blank_figure, png
from anomaly_diffusion.types import ImageResult

__all__ = ["verdict_chart"]

_WIDTH, _TOP, _LINE = 1160, 380, 24  # pixels: of the whole, of the charts above, of a share below them
_KINDS, _NAME = 20, 32  # kinds, and characters of their names; more are left out
_ALARMS = "false alarms"
_FAR = 8.0  # times the median score, from which the axis of scores is logarithmic


def verdict_chart(results: Sequence[ImageResult], verdicts: Mapping[str, Any]) -> bytes:
    """Histogram of scores, ROC, precision-recall and recall by kind of one test, as a PNG.

    Args:
        results: of test images; those without a label are left out.
        verdicts: as `summary.json` has them (`verdicts.rates` and the limits); empty where no limit is known.
    """
    scores, labels = _known(results)
    rates = _rates(verdicts)
    foot = 70 + _LINE * max(2, len(rates))
    figure = blank_figure(_WIDTH, _TOP + foot)

    def axes_at(left: float, top: float, width: float, height: float) -> Axes:
        whole = _TOP + foot
        axes = figure.add_axes((left / _WIDTH, 1 - (top + height) / whole, width / _WIDTH, height / whole))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    _histogram(axes_at(60, 36, 320, _TOP - 100), scores, labels, verdicts)
    _roc(axes_at(452, 36, 300, _TOP - 100), scores, labels, verdicts)
    _precision_recall(axes_at(824, 36, 300, _TOP - 100), scores, labels, verdicts)
    _shares(axes_at(300, _TOP + 26, 824, foot - 62), rates)
    return png(figure)


def _known(results: Sequence[ImageResult]) -> tuple[Float[ndarray, " N"], ndarray]:
    """Scores and labels, as far as there are both."""
    known = [one for one in results if one.label is not None and math.isfinite(one.score)]
    return np.array([one.score for one in known]), np.array([bool(one.label) for one in known], dtype=bool)


def _histogram(axes: Axes, scores: ndarray, labels: ndarray, verdicts: Mapping[str, Any]) -> None:
    axes.set(title="scores", xlabel="image anomaly score", ylabel="images")
    if not len(scores):
        return
    limit = verdicts.get("limit")
    ends = [*scores, limit] if limit is not None and math.isfinite(limit) else list(scores)
    low, high = min(ends), max(ends)
    edges = np.linspace(low, high if high > low else low + 1, 31)
    if low > 0 and high > _FAR * float(np.median(scores)):  # a few defects would squeeze all others into one bar
        edges = np.geomspace(low, high, 31)
        axes.set_xscale("log")
    for label, name, colour in ((False, "normal", RIGHT), (True, "defective", WRONG)):
        shown = scores[labels == label]
        axes.hist(
            shown, edges.tolist(), color=colour, alpha=0.6, label=f"{name}: {len(shown)}", hatch="//" if label else None
        )
    if limit is not None and math.isfinite(limit):
        axes.axvline(limit, color="black", linewidth=1.4, label=f"limit {limit:.3g}")
    axes.legend(fontsize=8, framealpha=0.7, edgecolor="none")


def _counts(scores: ndarray, labels: ndarray) -> tuple[ndarray, ndarray]:
    """How many defective and normal images score at least as much as each distinct score, highest first."""
    levels = np.unique(scores)[::-1]
    return tuple(np.array([(scores[labels == label] >= level).sum() for level in levels]) for label in (True, False))  # type: ignore[return-value]


def _roc(axes: Axes, scores: ndarray, labels: ndarray, verdicts: Mapping[str, Any]) -> None:
    axes.set(title="ROC", xlabel="false alarms: share of normal images", ylabel="found: share of defective images")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if labels.all() or not labels.any():
        return _absent(axes)
    found, alarms = _counts(scores, labels)
    axes.plot([0, *alarms / (~labels).sum()], [0, *found / labels.sum()], color=RIGHT)
    axes.plot([0, 1], [0, 1], color=QUIET_INK, linewidth=0.8, linestyle=":")
    if verdicts:
        _point(axes, verdicts["false_alarms"]["share"], verdicts["found"]["share"])


def _precision_recall(axes: Axes, scores: ndarray, labels: ndarray, verdicts: Mapping[str, Any]) -> None:
    axes.set(title="precision and recall", xlabel="recall: share of defective images found", ylabel="precision")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if labels.all() or not labels.any():
        return _absent(axes)
    found, alarms = _counts(scores, labels)
    axes.plot(found / labels.sum(), found / (found + alarms), color=RIGHT)
    axes.axhline(labels.mean(), color=QUIET_INK, linewidth=0.8, linestyle=":")
    if verdicts:
        hits, false = verdicts["found"]["hits"], verdicts["false_alarms"]["hits"]
        _point(axes, verdicts["found"]["share"], hits / (hits + false) if hits + false else None)


def _absent(axes: Axes) -> None:
    _say(axes, "needs normal and defective images")


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET_INK)


def _point(axes: Axes, x: float | None, y: float | None) -> None:
    """Where the limit puts the detector on a curve."""
    if x is None or y is None:
        return
    axes.plot([x], [y], marker="o", markersize=9, color=WRONG, markeredgecolor="black", zorder=5, clip_on=False)
    left, low = x > 0.6, y > 0.5
    axes.annotate(
        f"at the limit: {x:.0%}, {y:.0%}",
        (x, y),
        (-12 if left else 12, -14 if low else 8),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
    )


def _rates(verdicts: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What is known at the limit: recall of each kind first, then of all, place and false alarms."""
    if not verdicts:
        return []
    kinds = [(f"found: {kind[:_NAME]}", rate) for kind, rate in verdicts["found_by_kind"].items()]
    rates = [*kinds[:_KINDS], ("found: all kinds", verdicts["found"]), ("of these in place", verdicts["in_place"])]
    return [line for line in [*rates, (_ALARMS, verdicts["false_alarms"])] if line[1]["total"]]


def _shares(axes: Axes, rates: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Shares with their intervals, a line each."""
    axes.set(title="shares at the limit, with 95 % intervals", xlim=(-0.02, 1.02))
    if not rates:
        axes.set_yticks([])
        return _say(axes, "no limit is known")
    for place, (name, rate) in enumerate(rates):
        colour, marker = (WRONG, "s") if name == _ALARMS else (RIGHT, "o")
        axes.plot([rate["low"], rate["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([rate["share"]], [place], marker=marker, color=colour)
        right = rate["high"] > 0.9
        axes.annotate(
            f"{rate['hits']}/{rate['total']}",
            (rate["low"] if right else rate["high"], place),
            (-6 if right else 6, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rates)), [name for name, _ in rates], fontsize=8)
    axes.set_ylim(len(rates) - 0.4, -0.6)
    return None
