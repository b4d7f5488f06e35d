"""Figures of each category of objects, as papers print them: of one model for each, or of one for several."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from anomaly_diffusion.metrics.curves import auroc, count_scores
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid, mean_and_std
from anomaly_diffusion.types import ImageResult

__all__ = ["PRINTED", "by_category", "category_grid", "category_grids", "of_one_run"]

PRINTED = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro")


def by_category(run: RunRecord, figure: str = "image_auroc") -> dict[str, float]:
    """A figure within each category of a run's test set; of a run on one category, that of all its images.

    Scores of two categories are never compared with each other: what is told apart is normal and defective. Image AUROC
    is found from the scores, in runs of any age; other figures are NaN where a run has not noted them by category.

    Args:
        run: tested.
        figure: one of `names.FIGURES`.

    Raises:
        ValueError: the run has not been tested, or it was tested on categories that its paths do not name.
    """
    import numpy as np

    results, names = run.tested(), _categories(run)
    if figure != "image_auroc":
        noted = {names[0]: run.summary} if len(names) == 1 else run.summary.get("by_category") or {}
        return {name: _number(noted.get(name, {}).get(figure)) for name in names}
    scores = {name: [one for one in results if len(names) == 1 or _shows(one, name)] for name in names}
    if sum(map(len, scores.values())) < len(results):
        raise ValueError(f"{run.folder} has test images outside of the folders {', '.join(names)}. Test it again.")
    return {
        name: auroc(count_scores(np.array([one.score for one in some]), np.array([one.label == 1 for one in some])))
        for name, some in scores.items()
    }


def category_grids(groups: Groups) -> list[Grid]:
    """A `category_grid` of each of the figures that papers print, as far as a run has noted it."""
    grids = [category_grid(groups, figure) for figure in PRINTED]
    return [grid for grid in grids if any(cell != "-" for row in grid.rows for cell in row[1:])]


def of_one_run(summary: Mapping[str, Any]) -> Grid:
    """What a `summary.json` says of each category, a row for each, and their mean; no rows where there is but one.

    Limits are those of scores; finds and false alarms are those at them, whose mean is one of shares.
    """
    figures: Mapping[str, Any] = summary.get("by_category") or {}
    verdicts: Mapping[str, Any] = (summary.get("verdicts") or {}).get("by_category") or {}
    heads = ["category", *(FIGURES[name] for name in PRINTED), "finds", "false alarms", "limit"]
    rows = []
    for name, own in figures.items():
        said = verdicts.get(name, {})
        rates = [_rate(said[key]) if key in said else "-" for key in ("found", "false_alarms")]
        limit = f"{said['limit']:.3g}" if "limit" in said else "-"
        rows.append([name, *(mean_and_std([own.get(figure)], 3) for figure in PRINTED), *rates, limit])
    means = [mean_and_std([_mean_of(own.get(figure) for own in figures.values())], 3) for figure in PRINTED]
    shares = [_mean_of(one[key]["share"] for one in verdicts.values()) for key in ("found", "false_alarms")]
    mean = ["mean", *means, *("-" if math.isnan(share) else f"{share:.0%}" for share in shares), "-"]
    return Grid(heads, [*rows, mean] if len(rows) > 1 else [])


def category_grid(groups: Groups, figure: str = "image_auroc") -> Grid:
    """A row for each category and one for their mean, a column for each method; the best of each row is bold.

    Experiments that differ in their category only, `padim-tile` and `padim-screw`, are one method. A cell has mean and
    standard deviation over runs; a method has a mean over categories only if it was tested on all of them.

    Args:
        groups: runs by name of the experiment.
        figure: one of `names.FIGURES`.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for group, runs in groups.items():
        for run in runs:
            figures = by_category(run, figure)
            of_method = found.setdefault(_method(group, list(figures)), {})
            for name, value in figures.items():
                of_method.setdefault(name, []).append(value)
    categories = sorted({name for of_method in found.values() for name in of_method})
    means = [[_mean(of_method.get(name, [])) for of_method in found.values()] for name in categories]
    rows = [[name, *(mean_and_std(one.get(name, []), 3) for one in found.values())] for name in categories]
    means.append([fmean(column) for column in zip(*means, strict=True)])  # NaN where one is missing
    rows.append(["mean", *(mean_and_std([mean], 3) for mean in means[-1])])
    return Grid([FIGURES[figure], *found], rows, best=frozenset(_best(means)))


def _categories(run: RunRecord) -> list[str]:
    dataset = run.config.get("data", {}).get("dataset", {}).get("init_args", {})
    chosen = dataset.get("category")
    return list(chosen) if isinstance(chosen, list) else [str(chosen or run.data_set.partition(",")[0])]


def _method(group: str, categories: Sequence[str]) -> str:
    """The name of an experiment without its category."""
    name = group
    if len(categories) == 1:
        name = re.sub(rf"(^|-)(category_)?{re.escape(categories[0])}(?=-|:|$)", "", group, count=1).strip("-")
    return name or group


def _shows(result: ImageResult, category: str) -> bool:
    """Whether an image is of a category; runs of before told it by the path alone."""
    return result.category == category if result.category else result.path.startswith(f"{category}/")


def _rate(rate: Mapping[str, Any]) -> str:
    return f"{rate['hits']}/{rate['total']}" if rate["total"] else "-"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean_of(values: Iterable[float | None]) -> float:
    """The mean of all; NaN where one is missing."""
    return _mean(list(map(_number, values)))


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan


def _best(means: Sequence[Sequence[float]]) -> set[tuple[int, int]]:
    best = set()
    for place, row in enumerate(means):
        known: Mapping[int, float] = {column: round(value, 3) for column, value in enumerate(row) if value == value}
        if len(known) > 1:
            best |= {(place, column + 1) for column, value in known.items() if value == max(known.values())}
    return best
