"""`compare`: run folders side by side, mean and spread over seeds, as Markdown."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from anomaly_diffusion.analysis.sizes import SizeClass, by_size
from anomaly_diffusion.analysis.tables import markdown_table, size_table
from anomaly_diffusion.commands import run_folder

__all__ = ["main"]

_SUMMARY = "summary.json"
_IMAGES = "per_image.csv"


def main(arguments: list[str]) -> int:
    """Print one table of all runs; runs of one experiment are its seeds."""
    options = _parser().parse_args(arguments)
    folders = [folder for path in options.runs for folder in _run_folders(path)]
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        groups.setdefault(_group(folder), []).append(folder)
    table = markdown_table({name: [_summary(run) for run in runs] for name, runs in groups.items()})
    if options.by_size:
        table += "\n" + size_table({name: [_sizes(run) for run in runs] for name, runs in groups.items()})
    print(table)
    if options.output:
        options.output.write_text(table)
    return 0


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / _SUMMARY).read_text())
    return summary


def _sizes(folder: Path) -> list[SizeClass]:
    with (folder / _IMAGES).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and "defect_share" not in rows[0]:
        raise ValueError(f"{folder / _IMAGES} was written by an older version: test the run again.")
    return by_size(rows)


def _group(folder: Path) -> str:
    """The experiment of a run; of an evaluation, with what was changed."""
    evaluation = run_folder.evaluation_of(folder)
    if evaluation is None:
        return folder.resolve().parent.name
    run, changes = evaluation
    return f"{run.parent.name}: {changes or 'tested again'}"


def _run_folders(path: Path) -> list[Path]:
    """The finished runs at or one level below `path`."""
    found = sorted(summary.parent for summary in [*path.glob(_SUMMARY), *path.glob(f"*/{_SUMMARY}")])
    if not found:
        raise FileNotFoundError(f"No finished run in {path}. Expected {path}/{_SUMMARY} or {path}/*/{_SUMMARY}.")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anomaly-diffusion compare", description="Compare finished runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or experiment folders that hold several seeds")
    parser.add_argument("--by_size", action="store_true", help="also image AUROC of small, middle and large defects")
    parser.add_argument("--output", type=Path, help="also write what is printed to this Markdown file")
    return parser
