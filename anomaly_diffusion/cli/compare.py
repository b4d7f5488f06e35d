"""`compare`: run folders side by side, mean and standard deviation over seeds: Markdown, LaTeX and pictures."""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli import user_errors
from anomaly_diffusion.names import CHARTS, FIGURES
from anomaly_diffusion.runs.categories import category_grids
from anomaly_diffusion.runs.cost import cost_panels, lacking
from anomaly_diffusion.runs.defect_sizes import SizeClass, by_size
from anomaly_diffusion.runs.detection_panels import detection_panels
from anomaly_diffusion.runs.latex import latex_table
from anomaly_diffusion.runs.pairing import paired_report
from anomaly_diffusion.runs.record import DETECTION_LIMIT, UNSET, Groups, RunRecord, finished_runs, grouped
from anomaly_diffusion.runs.tables import Grid, csv_table, results_grid, size_grid

__all__ = ["main"]

_FIGURE = "pixel_ap"
_PRINTED = Path("-")


def main(arguments: list[str]) -> int:
    """Print one table of all runs; runs of one experiment are its seeds."""
    options = _checked(_parser().parse_args(arguments))
    groups = _groups([run for path in options.runs for run in finished_runs(path)], options.group_by)
    grids = [results_grid(groups, options.all_controls)]
    if options.by_size:
        grids.append(size_grid({name: [_sizes(run) for run in runs] for name, runs in groups.items()}))
    if options.by_category:
        grids += category_grids(groups)
    paired = paired_report(groups, _baseline(groups, options.baseline)) if options.group_by or options.baseline else ""
    table = "\n".join(filter(None, [*(grid.markdown() for grid in grids), paired]))
    print(_latex(grids, paired) if options.latex == _PRINTED else table)
    if options.output:
        files.write(options.output, table)
    if options.latex and options.latex != _PRINTED:
        files.write(options.latex, _latex(grids, paired))
    if options.csv:
        files.write(options.csv, csv_table(groups))
    if options.chart:
        _draw(options.chart, options.figure, groups)
    if options.detection_chart:
        _draw_detection(options.detection_chart, groups)
    return 0


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    """Refuse what cannot be drawn before anything is read."""
    if options.figure and not options.chart:
        raise user_errors.UsageError("`figure` must go with a chart, got none. Add --chart FILE.png")
    options.figure = options.figure or _FIGURE
    if options.figure not in FIGURES:
        hint = user_errors.closest(options.figure, FIGURES)
        raise user_errors.UsageError(f"`figure` must be one of {', '.join(FIGURES)}, got {options.figure!r}.{hint}")
    for name in ("chart", "detection_chart"):
        drawn: Path | None = getattr(options, name)
        if drawn and drawn.suffix.lower() not in CHARTS:
            raise user_errors.UsageError(f"`{name}` must be a file that ends in {', '.join(CHARTS)}, got {drawn}.")
    for name in ("output", "csv", "latex", "chart", "detection_chart"):
        path: Path | None = getattr(options, name)
        if path is not None and path.is_dir():
            raise user_errors.UsageError(f"`{name}` must be a file, got the folder {str(path)!r}.")
    return options


def _latex(grids: Sequence[Grid], paired: str) -> str:
    """The tables for a paper; what pairing has found stands in comments, as it is no table only."""
    tables = "\n\\par\\bigskip\n".join(map(latex_table, grids))
    return tables + "".join(f"% {line}\n" for line in paired.splitlines())


def _groups(runs: Sequence[RunRecord], keys: Sequence[str] | None) -> Groups:
    """Runs by their experiment, or by the values of some settings, which at least one of them must have."""
    if not keys:
        return grouped(runs, lambda run: run.group)
    for key in keys:
        if all(run.setting(key) == UNSET for run in runs):
            hint = user_errors.closest(key, sorted({name for run in runs for name in _names(run.config)}))
            raise user_errors.UsageError(f"`group-by` must name a setting of the runs' config.yaml, got {key!r}.{hint}")
    return grouped(runs, lambda run: ", ".join(map(run.setting, keys)))


def _names(settings: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of all settings."""
    for name, value in settings.items():
        yield above + name
        if isinstance(value, dict):
            yield from _names(value, f"{above}{name}.")


def _baseline(groups: Groups, name: str | None) -> str:
    """The group that others are paired with; the first if none is named."""
    if name is not None and name not in groups:
        hint = user_errors.closest(name, groups)
        raise user_errors.UsageError(f"`baseline` must be one of {', '.join(groups)}, got {name!r}.{hint}")
    return name or next(iter(groups))


def _sizes(run: RunRecord) -> list[SizeClass]:
    results = run.tested()
    if all(math.isnan(result.defect_share) for result in results):
        raise ValueError(f"{run.folder / 'per_image.csv'} has no column defect_share. Test the run again.")
    return by_size(results)


def _draw(path: Path, figure: str, groups: Groups) -> None:
    """Write the chart, and say what is not on it; not among the tables, so that these stay Markdown."""
    from anomaly_diffusion.figures.cost_chart import chart  # loads matplotlib

    files.write(path, chart(cost_panels(groups, figure), FIGURES[figure], path.suffix))
    _tell_left_out(path, {name: lacking(runs, figure) for name, runs in groups.items()})


def _draw_detection(path: Path, groups: Groups) -> None:
    """Write the chart of detection limits, and say whose are not on it."""
    from anomaly_diffusion.figures.detection_sets_chart import detection_sets_chart  # loads matplotlib

    files.write(path, detection_sets_chart(detection_panels(groups), path.suffix))
    runs = {str(run.folder): run for members in groups.values() for run in members}
    _tell_left_out(path, {name: "" if run.detection_limit else f"no {DETECTION_LIMIT}" for name, run in runs.items()})


def _tell_left_out(path: Path, reasons: Mapping[str, str]) -> None:
    """Say what is not on a chart, and why."""
    absent = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    if absent:
        print(f"left out of {path}: {', '.join(absent)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anomaly-diffusion compare", description="Compare finished runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or experiment folders that hold several seeds")
    parser.add_argument(
        "--all_controls", action="store_true", help="a row for each control, not the best of each figure"
    )
    parser.add_argument("--by_size", action="store_true", help="also image AUROC of small, middle and large defects")
    categories = "also figures of each category, a column for each method, with the mean, as papers print them"
    parser.add_argument("--by_category", action="store_true", help=categories)
    parser.add_argument(
        "--group-by", "--group_by", nargs="+", metavar="SETTING", dest="group_by",
        help="sort runs by settings such as model.init_args.noise, and pair groups by run and by image",
    )  # fmt: skip
    parser.add_argument("--baseline", metavar="GROUP", help="what the other groups are paired with; default: the first")
    parser.add_argument("--output", type=Path, help="also write what is printed to this Markdown file")
    latex = "also write the tables to this file, for a paper (booktabs); without one, print them instead of Markdown"
    parser.add_argument("--latex", type=Path, nargs="?", const=_PRINTED, metavar="FILE.tex", help=latex)
    parser.add_argument("--csv", type=Path, help="also write the figures of each run to this CSV file")
    parser.add_argument(
        "--chart", type=Path, help=f"also draw accuracy over seconds per image to this file: {', '.join(CHARTS)}"
    )
    shown = f"what the chart shows, {_FIGURE} if not given; one of {', '.join(FIGURES)}"
    parser.add_argument("--figure", metavar="NAME", help=shown)
    parser.add_argument(
        "--detection_chart",
        type=Path,
        help="also draw what `detection_limit` found of each set to this file, as --chart",
    )
    return parser
