"""What accuracy costs: groups of runs as points, and which of them no other beats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from anomaly_diffusion.names import COSTS, FIGURES
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import by_test_set


@dataclass(frozen=True)
class CostPoint:
    """A group of runs: what it finds, and how long that takes.

    Args:
        name: of the group.
        seconds: per image, > 0; the mean over runs.
        figure: larger is better; the mean over runs.
        seconds_std: standard deviation over runs, >= 0; 0 for one run.
        figure_std: likewise.
    """

    name: str
    seconds: float
    figure: float
    seconds_std: float = 0.0
    figure_std: float = 0.0


@dataclass(frozen=True)
class CostPanel:
    """All groups that were measured on the same images.

    Args:
        title: the data set.
        points: at least one.
        controls: the figure of each control, by its name; they cost next to nothing.
    """

    title: str
    points: Sequence[CostPoint]
    controls: Mapping[str, float]


def pareto_front(points: Sequence[CostPoint]) -> list[CostPoint]:
    """The points that no other beats, cheapest first.

    One point beats another if `seconds` is no larger, `figure` is no smaller, and one of the two differs.
    """
    front: list[CostPoint] = []
    for point in sorted(points, key=lambda point: (point.seconds, -point.figure)):
        last = front[-1] if front else None
        if last is None or point.figure > last.figure or (point.seconds, point.figure) == (last.seconds, last.figure):
            front.append(point)
    return front


def lacking(runs: Sequence[RunRecord], figure: str) -> str:
    """What a group of runs lacks to be a point of the chart; nothing if it can be drawn."""
    if not _known(_summaries(runs), "seconds_per_image"):
        return "no seconds per image"
    return "" if _known(_summaries(runs), figure) else f"no {FIGURES[figure]}"


def cost_panels(groups: Groups, figure: str) -> list[CostPanel]:
    """One panel for each test set; groups that lack a number are left out.

    Args:
        groups: runs that differ in their seed only, by name of the group.
        figure: which figure, one of `FIGURES`.

    Raises:
        ValueError: if no group has both the figure and its cost.
    """
    drawn = {name: runs for name, runs in groups.items() if not lacking(runs, figure)}
    if not drawn:
        found = "; ".join(f"{name}: {lacking(runs, figure)}" for name, runs in groups.items())
        raise ValueError(
            f"`runs` must have {FIGURES[figure]} and {COSTS['seconds_per_image']}, got {found}. Test them."
        )
    return [
        CostPanel(
            title=drawn[names[0]][0].data_set,
            points=[_point(name, _summaries(drawn[name]), figure) for name in names],
            controls=_controls(_summaries([run for name in names for run in drawn[name]]), figure),
        )
        for names in by_test_set(drawn)
    ]


def _summaries(runs: Sequence[RunRecord]) -> list[Mapping[str, Any]]:
    return [run.summary for run in runs]


def _point(name: str, runs: Sequence[Mapping[str, Any]], figure: str) -> CostPoint:
    seconds, values = _known(runs, "seconds_per_image"), _known(runs, figure)
    return CostPoint(name, fmean(seconds), fmean(values), _std(seconds), _std(values))


def _controls(runs: Sequence[Mapping[str, Any]], figure: str) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run.get("controls", {}))
    values = {name: _known([run.get("controls", {}).get(name, {}) for run in runs], figure) for name in names}
    return {name: fmean(known) for name, known in values.items() if known}


def _known(runs: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    """The values that are there; a time of zero was not measured."""
    values = [run.get(column) for run in runs]
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    return [value for value in known if value > 0] if column in COSTS else known


def _std(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
