"""`compare`: run folders side by side, mean and spread over seeds, as Markdown and as a picture."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli import user_errors
from anomaly_diffusion.names import COSTS, FIGURES, RUN_COSTS
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.cost import cost_panels, lacking
from anomaly_diffusion.runs.defect_sizes import SizeClass, by_size
from anomaly_diffusion.runs.grouping import by_setting, paired_report
from anomaly_diffusion.runs.image_results import from_line
from anomaly_diffusion.runs.tables import csv_table, markdown_table, size_table

__all__ = ["data_set", "group_of", "main", "run_folders"]

_SUMMARY = "summary.json"
_IMAGES = "per_image.csv"
_FIGURE = "pixel_ap"


def main(arguments: list[str]) -> int:
    """Print one table of all runs; runs of one experiment are its seeds."""
    options = _checked(_parser().parse_args(arguments))
    folders = [folder for path in options.runs for folder in run_folders(path)]
    groups = by_setting(folders, options.group_by) if options.group_by else _by_experiment(folders)
    summaries = {name: [_summary(run) for run in runs] for name, runs in groups.items()}
    table = markdown_table(summaries)
    if options.by_size:
        table += "\n" + size_table({name: [_sizes(run) for run in runs] for name, runs in groups.items()})
    if options.group_by or options.baseline:
        table += "\n" + paired_report(groups, options.baseline)
    print(table)
    if options.output:
        files.write(options.output, table)
    if options.csv:
        files.write(options.csv, csv_table(summaries))
    if options.chart:
        titles = {name: data_set(runs[0]) for name, runs in groups.items()}
        _draw(options.chart, options.figure, summaries, titles)
    return 0


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    """Refuse what cannot be drawn before anything is read."""
    if options.figure and not options.chart:
        raise user_errors.UsageError("`figure` must go with a chart, got none. Add --chart FILE.png")
    options.figure = options.figure or _FIGURE
    if options.figure not in FIGURES:
        hint = user_errors.closest(options.figure, FIGURES)
        raise user_errors.UsageError(f"`figure` must be one of {', '.join(FIGURES)}, got {options.figure!r}.{hint}")
    if options.chart and options.chart.suffix.lower() != ".png":
        raise user_errors.UsageError(f"`chart` must be a file that ends in .png, got {options.chart}.")
    for name in ("output", "csv", "chart"):
        path: Path | None = getattr(options, name)
        if path is not None and path.is_dir():
            raise user_errors.UsageError(f"`{name}` must be a file, got the folder {str(path)!r}.")
    return options


def _draw(
    path: Path, figure: str, summaries: Mapping[str, Sequence[Mapping[str, Any]]], titles: Mapping[str, str]
) -> None:
    """Write the chart, and say what is not on it; not among the tables, so that these stay Markdown."""
    from anomaly_diffusion.figures.cost_chart import chart  # loads matplotlib

    files.write(path, chart(cost_panels(summaries, titles, figure), FIGURES[figure]))
    missing = {name: lacking(runs, figure) for name, runs in summaries.items()}
    absent = [f"{name} ({reason})" for name, reason in missing.items() if reason]
    if absent:
        print(f"left out of {path}: {', '.join(absent)}", file=sys.stderr)


def data_set(folder: Path) -> str:
    """What a run was tested on, and at which size: "tile, 64 x 128"."""
    config = folder / run_folder.CONFIG
    data = files.nested(files.read_mapping(config), config, "data")
    dataset = files.nested(data, config, "dataset")
    settings = files.nested(dataset, config, "init_args")
    name = settings.get("category") or settings.get("texture") or Path(settings.get("root") or "").name
    name = ", ".join(name) if isinstance(name, list) else name or dataset.get("class_path", "").rpartition(".")[2]
    return ", ".join(filter(None, [name, " x ".join(map(str, data.get("image_size") or []))]))


def _summary(folder: Path) -> dict[str, Any]:
    summary = files.read_mapping(folder / _SUMMARY)
    numbers = {key: value for key, value in summary.items() if key in FIGURES | COSTS | RUN_COSTS}
    for key, value in numbers.items():
        if not isinstance(value, int | float | None):
            raise ValueError(f"`{key}` in {folder / _SUMMARY} must be a number, got {value!r}.")
    for control in files.nested(summary, folder / _SUMMARY, "controls"):
        files.nested(summary, folder / _SUMMARY, "controls", control)
    return summary


def _sizes(folder: Path) -> list[SizeClass]:
    return by_size([from_line(line) for line in files.read_table(folder / _IMAGES, ["defect_share"])])


def _by_experiment(folders: Sequence[Path]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        groups.setdefault(group_of(folder), []).append(folder)
    return groups


def group_of(folder: Path) -> str:
    """The experiment of a run; of an evaluation, with what was changed."""
    evaluation = run_folder.evaluation_of(folder)
    if evaluation is None:
        return folder.resolve().parent.name
    run, changes = evaluation
    return f"{run.parent.name}: {changes or 'tested again'}"


def run_folders(path: Path) -> list[Path]:
    """The finished runs at or one level below `path`."""
    found = sorted(summary.parent for summary in [*path.glob(_SUMMARY), *path.glob(f"*/{_SUMMARY}")])
    if not found:
        raise FileNotFoundError(f"No finished run in {path}. Expected {path}/{_SUMMARY} or {path}/*/{_SUMMARY}.")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anomaly-diffusion compare", description="Compare finished runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or experiment folders that hold several seeds")
    parser.add_argument("--by_size", action="store_true", help="also image AUROC of small, middle and large defects")
    parser.add_argument(
        "--group-by", "--group_by", nargs="+", metavar="SETTING", dest="group_by",
        help="sort runs by settings such as model.init_args.noise, and pair groups by run and by image",
    )  # fmt: skip
    parser.add_argument("--baseline", metavar="GROUP", help="what the other groups are paired with; default: the first")
    parser.add_argument("--output", type=Path, help="also write what is printed to this Markdown file")
    parser.add_argument("--csv", type=Path, help="also write the figures of each run to this CSV file")
    parser.add_argument("--chart", type=Path, help="also draw accuracy over seconds per image to this PNG file")
    shown = f"what the chart shows, {_FIGURE} if not given; one of {', '.join(FIGURES)}"
    parser.add_argument("--figure", metavar="NAME", help=shown)
    return parser
