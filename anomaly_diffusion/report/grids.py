"""The tables of a report, as plain text in cells; who writes them down must escape them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from anomaly_diffusion.measures.depth_sensitivity import robust_interval
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.defect_sizes import by_size
from anomaly_diffusion.runs.image_results import from_line
from anomaly_diffusion.runs.run_results import RunResults
from anomaly_diffusion.runs.tables import by_test_set, mean_and_spread, table_rows

__all__ = ["MEASURES", "Grid", "Groups", "depth_grid", "failure_grid", "found_grids", "mean_depths", "result_grids"]

Groups = Mapping[str, Sequence[RunResults]]
_CONTRASTED = ("image_auroc", "pixel_ap")
_CLASSES = {
    "by_size": ("Defects by size, share of the image", "smallest third", "middle third", "largest third"),
    "by_contrast": (
        "Defects by contrast, in sd of their surroundings",
        "faintest third",
        "middle third",
        "strongest third",
    ),
}


@dataclass(frozen=True)
class Measure:
    """A column of `failures.json`: over normal or over defective images."""

    of: str
    name: str
    head: str
    digits: int
    hint: str


MEASURES = (
    Measure("normal", "psnr", "PSNR, dB", 1, "likeness of normal images and their reconstructions"),
    Measure("normal", "ssim", "SSIM", 3, "structural similarity of the same; 1 is a copy"),
    Measure("normal", "retained_fine", "fine power", 2, "power kept of periods below 8 pixels; below 1 is smoothed"),
    Measure("normal", "variance_ratio", "roughness", 2, "local variance kept; below 1 is smoothed"),
    Measure("normal", "cooccurrence", "texture", 3, "distance of grey-level co-occurrence; 0 is the same texture"),
    Measure("normal", "hallucination", "invented", 3, "largest difference of a window; share of the pixel range"),
    Measure(
        "defective", "energy_contrast", "erased, dB", 1, "energy of the difference on the defect against elsewhere"
    ),
    Measure("defective", "map_contrast", "marked, sd", 1, "mean of the map on the defect less that elsewhere"),
    Measure("normal", "map_far", "false alarm, sd", 1, "largest value of the map on a normal image"),
)


@dataclass(frozen=True)
class Grid:
    """A table.

    Args:
        title: what it shows.
        heads: of its columns; the first one heads the names of rows.
        rows: cells of each row, its name first; what follows a line break is less important.
        quiet: rows that are there for comparison only.
        hints: what a head means.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    quiet: frozenset[int] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)


def result_grids(groups: Groups, titles: Mapping[str, str]) -> list[Grid]:
    """Figures and costs, a table for each test set, the trivial controls below the models.

    Args:
        groups: runs that differ in their seed only, by name.
        titles: the data set of each group.
    """
    summaries = {name: [run.summary for run in runs] for name, runs in groups.items()}
    grids = []
    for names in by_test_set(summaries):
        heads, *rows = table_rows({name: summaries[name] for name in names})
        rows = [[names[place] if place < len(names) else row[0], *row[1:]] for place, row in enumerate(rows)]
        grids.append(Grid(titles[names[0]], ["model", *heads[1:]], rows, frozenset(range(len(names), len(rows)))))
    return grids


def mean_depths(runs: Sequence[RunResults]) -> tuple[list[float], list[dict[str, float]]]:
    """Depths, and the mean of their figures over those runs that have the same depths as the first one."""
    curves = [run.depths for run in runs if len(run.depths) > 1]
    if not curves:
        return [], []
    depths = [row["depth"] for row in curves[0]]
    same = [curve for curve in curves if [row["depth"] for row in curve] == depths]
    names = [name for name in same[0][0] if name != "depth"]
    figures = [{name: _mean([row.get(name) for row in rows]) for name in names} for rows in zip(*same, strict=True)]
    return depths, figures


def depth_grid(groups: Groups) -> Grid:
    """How much room for error depth leaves: the depths that stay within a point of the best one."""
    heads = ["model", "depths", *(f"{FIGURES[name]} within .01 of its best" for name in _CONTRASTED), "PSNR, dB"]
    rows = []
    for name, runs in groups.items():
        depths, figures = mean_depths(runs)
        if depths:
            reaches = [_reach(depths, [row.get(figure, math.nan) for row in figures]) for figure in _CONTRASTED]
            ends = " to ".join(f"{figures[place].get('psnr', math.nan):.1f}" for place in (0, -1))
            rows.append([name, f"{depths[0]:.3g} to {depths[-1]:.3g}", *reaches, ends])
    return Grid("Sensitivity to depth (sigma / alpha)", heads, rows)


def failure_grid(groups: Groups) -> Grid:
    """What goes wrong, by its measures: means over images, then mean and spread over runs."""
    heads = ["model", "runs", *(measure.head for measure in MEASURES)]
    rows = []
    for name, runs in groups.items():
        measured = [run.analysis for run in runs if run.analysis]
        if measured:
            rows.append([name, str(len(measured)), *(_measured(measure, measured) for measure in MEASURES)])
    return Grid("How pictures and maps fail", heads, rows, hints={measure.head: measure.hint for measure in MEASURES})


def found_grids(groups: Groups) -> list[Grid]:
    """Which defects are found, by their size and by their contrast: image AUROC, and recall where it is known."""
    grids = []
    for by, (title, *thirds) in _CLASSES.items():
        found = {name: [classes for run in runs if (classes := _classes(run, by))] for name, runs in groups.items()}
        count = max((len(classes) for runs in found.values() for classes in runs), default=0)
        heads = ["model", "runs", *(thirds if count == 3 else [f"class {place + 1}" for place in range(count)])]
        rows = [[name, str(len(runs)), *_found(runs, by == "by_size")] for name, runs in found.items() if runs]
        if rows:
            grids.append(Grid(title, heads, [[*row, *["-"] * (2 + count - len(row))] for row in rows]))
    return grids


def _classes(run: RunResults, by: str) -> list[Mapping[str, Any]]:
    known: list[Mapping[str, Any]] = run.analysis.get("found", {}).get(by, [])
    if known or by != "by_size" or not run.images or not run.images[0].get("defect_share"):
        return known
    return [vars(size) for size in by_size([from_line(line) for line in run.images])]


def _found(runs: Sequence[Sequence[Mapping[str, Any]]], share: bool) -> list[str]:
    cells = []
    for classes in zip(*[run for run in runs if len(run) == len(runs[0])], strict=True):
        recall = _mean([one["recall"] for one in classes])
        told = "" if math.isnan(recall) else f"recall {recall:.0%}, "
        end = f"{classes[0]['largest']:.2%}" if share else f"{classes[0]['largest']:.2f}"
        cells.append(f"{mean_and_spread([one['image_auroc'] for one in classes], 3)}\n({told}up to {end})")
    return cells


def _measured(measure: Measure, runs: Sequence[Mapping[str, Any]]) -> str:
    values = [((run.get(measure.of) or {}).get(measure.name) or {}).get("mean") for run in runs]
    return mean_and_spread(values, measure.digits)


def _reach(depths: Sequence[float], values: Sequence[float]) -> str:
    if all(map(math.isnan, values)):
        return "-"
    reach = robust_interval(depths, values)
    return f"{reach.low:.3g} to {reach.high:.3g}\n({reach.octaves:.1f} octaves, best at {reach.best:.3g})"


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return fmean(known) if known else math.nan
