"""The tables of a report; `Grid.markdown` and the template of the page escape what stands in their cells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from anomaly_diffusion.measures.depth_sensitivity import robust_interval
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.categories import of_one_run
from anomaly_diffusion.runs.defect_sizes import by_size
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid, by_test_set, mean_and_std, results_grid

__all__ = ["MEASURES", "category_results", "depth_grid", "failure_grid", "found_grids", "mean_depths", "result_grids"]

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


def result_grids(groups: Groups, all_controls: bool = False) -> list[Grid]:
    """Figures and costs, a table for each test set; below the models the best control of each figure, or all."""
    grids = []
    for names in by_test_set(groups):
        grid = results_grid({name: groups[name] for name in names}, all_controls)
        grids.append(replace(grid, title=groups[names[0]][0].data_set, heads=["model", *grid.heads[1:]]))
    return grids


def category_results(groups: Groups) -> list[Grid]:
    """Figures of each category, of the first run of each group that was tested on several."""
    several = {name: [run for run in runs if run.summary.get("by_category")] for name, runs in groups.items()}
    grids = [
        replace(of_one_run(runs[0].summary), title=f"{name}, {runs[0].name}, by category")
        for name, runs in several.items()
        if runs
    ]
    return [grid for grid in grids if grid.rows]


def mean_depths(runs: Sequence[RunRecord]) -> tuple[list[float], list[dict[str, float]]]:
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
    return Grid(heads, rows, "Sensitivity to depth (sigma / alpha)")


def failure_grid(groups: Groups) -> Grid:
    """What goes wrong, by its measures: means over images, then mean and standard deviation over runs."""
    heads = ["model", "runs", *(measure.head for measure in MEASURES)]
    rows = []
    for name, runs in groups.items():
        measured = [run.failures for run in runs if run.failures]
        if measured:
            rows.append([name, str(len(measured)), *(_measured(measure, measured) for measure in MEASURES)])
    return Grid(heads, rows, "How pictures and maps fail", hints={measure.head: measure.hint for measure in MEASURES})


def found_grids(groups: Groups) -> list[Grid]:
    """Which defects are found, by their size and by their contrast: image AUROC, and recall where it is known."""
    grids = []
    for by, (title, *thirds) in _CLASSES.items():
        found = {name: [classes for run in runs if (classes := _classes(run, by))] for name, runs in groups.items()}
        count = max((len(classes) for runs in found.values() for classes in runs), default=0)
        heads = ["model", "runs", *(thirds if count == 3 else [f"class {place + 1}" for place in range(count)])]
        rows = [[name, str(len(runs)), *_found(runs, by == "by_size")] for name, runs in found.items() if runs]
        if rows:
            grids.append(Grid(heads, [[*row, *["-"] * (2 + count - len(row))] for row in rows], title))
    return grids


def _classes(run: RunRecord, by: str) -> list[Mapping[str, Any]]:
    known: list[Mapping[str, Any]] = run.failures.get("found", {}).get(by, [])
    return known if known or by != "by_size" else [vars(size) for size in by_size(run.results)]


def _found(runs: Sequence[Sequence[Mapping[str, Any]]], share: bool) -> list[str]:
    cells = []
    for classes in zip(*[run for run in runs if len(run) == len(runs[0])], strict=True):
        recall = _mean([one["recall"] for one in classes])
        told = "" if math.isnan(recall) else f"recall {recall:.0%}, "
        end = f"{classes[0]['largest']:.2%}" if share else f"{classes[0]['largest']:.2f}"
        cells.append(f"{mean_and_std([one['image_auroc'] for one in classes], 3)}\n({told}up to {end})")
    return cells


def _measured(measure: Measure, runs: Sequence[Mapping[str, Any]]) -> str:
    values = [((run.get(measure.of) or {}).get(measure.name) or {}).get("mean") for run in runs]
    return mean_and_std(values, measure.digits)


def _reach(depths: Sequence[float], values: Sequence[float]) -> str:
    if all(map(math.isnan, values)):
        return "-"
    reach = robust_interval(depths, values)
    return f"{reach.low:.3g} to {reach.high:.3g}\n({reach.octaves:.1f} octaves, best at {reach.best:.3g})"


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return fmean(known) if known else math.nan
