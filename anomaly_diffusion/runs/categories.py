"""Image AUROC of each category of objects, as papers print it: of one model for each, or of one for several."""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean

from anomaly_diffusion.metrics.curves import auroc, count_scores
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid, mean_and_std

__all__ = ["by_category", "category_grid"]


def by_category(run: RunRecord) -> dict[str, float]:
    """Image AUROC within each category of a run's test set; of a run on one category, that of all its images.

    Scores of two categories are never compared with each other: what is told apart is normal and defective.

    Raises:
        ValueError: the run has not been tested, or it was tested on categories that its paths do not name.
    """
    import numpy as np

    results, names = run.tested(), _categories(run)
    scores = {name: [one for one in results if len(names) == 1 or one.path.startswith(f"{name}/")] for name in names}
    if sum(map(len, scores.values())) < len(results):
        raise ValueError(f"{run.folder} has test images outside of the folders {', '.join(names)}. Test it again.")
    return {
        name: auroc(count_scores(np.array([one.score for one in some]), np.array([one.label == 1 for one in some])))
        for name, some in scores.items()
    }


def category_grid(groups: Groups) -> Grid:
    """A row for each category and one for their mean, a column for each method; the best of each row is bold.

    Experiments that differ in their category only, `padim-tile` and `padim-screw`, are one method. A cell has mean and
    standard deviation over runs; a method has a mean over categories only if it was tested on all of them.

    Args:
        groups: runs by name of the experiment.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for group, runs in groups.items():
        for run in runs:
            figures = by_category(run)
            of_method = found.setdefault(_method(group, list(figures)), {})
            for name, figure in figures.items():
                of_method.setdefault(name, []).append(figure)
    categories = sorted({name for of_method in found.values() for name in of_method})
    means = [[_mean(of_method.get(name, [])) for of_method in found.values()] for name in categories]
    rows = [[name, *(mean_and_std(one.get(name, []), 3) for one in found.values())] for name in categories]
    means.append([fmean(column) for column in zip(*means, strict=True)])  # NaN where one is missing
    rows.append(["mean", *(mean_and_std([mean], 3) for mean in means[-1])])
    return Grid(["image AUROC", *found], rows, best=frozenset(_best(means)))


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


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan


def _best(means: Sequence[Sequence[float]]) -> set[tuple[int, int]]:
    best = set()
    for place, row in enumerate(means):
        known: Mapping[int, float] = {column: round(value, 3) for column, value in enumerate(row) if value == value}
        if len(known) > 1:
            best |= {(place, column + 1) for column, value in known.items() if value == max(known.values())}
    return best
