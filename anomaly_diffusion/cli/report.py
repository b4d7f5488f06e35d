"""`report`: what several runs have found and where they fail, as one page to read in a browser and as Markdown."""

import argparse
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly_diffusion import files
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import VERDICTS, Groups, RunRecord, finished_runs, grouped, predictions_of

if TYPE_CHECKING:
    from anomaly_diffusion.report.page import Gap

__all__ = ["main"]

_OF_A_TEST = {"per_image.csv", "failures.csv", "failures.json", "panels/test.png", "tiles/", VERDICTS}


def main(arguments: list[str]) -> int:
    """Write `index.html`, `index.md` and `pictures/`; nothing is judged, and nothing but run folders is read."""
    options = _parser().parse_args(arguments)
    _claim(options.output)
    start = time.perf_counter()
    from anomaly_diffusion.report.markdown import markdown_page
    from anomaly_diffusion.report.page import html_page, make_report

    predictions = list({run.folder.resolve(): run for path in options.runs for run in predictions_of(path)}.values())
    groups = _groups(options.runs)
    gaps = [gap for name, runs in groups.items() for gap in _gaps(name, runs)]
    report = make_report(groups, gaps, predictions, all_controls=options.all_controls)
    text, pictures = markdown_page(report)
    written: dict[str, str | bytes] = {"index.html": html_page(report), "index.md": text, **pictures}
    for name, content in written.items():
        files.write(options.output / name, content)
    size, seconds = (options.output / "index.html").stat().st_size / 1e6, time.perf_counter() - start
    also = f", {len(predictions)} predictions" if predictions else ""
    print(f"{options.output / 'index.html'}: {len(report.runs)} runs{also}, {size:.1f} MB, {seconds:.1f} s")
    for line in [*(f"{gap.group}, {', '.join(gap.runs)}: no {gap.files}" for gap in gaps), *report.left_out]:
        print(f"  {line}")
    return 0


def _groups(paths: list[Path]) -> Groups:
    """All tested runs by the name of their group, each once."""
    once = {run.folder.resolve(): run for path in paths for run in _tested(path)}
    return grouped(list(once.values()), lambda run: run.group)


def _tested(path: Path) -> list[RunRecord]:
    """The runs of a folder, all of which must be tested; where it holds predictions, those that are."""
    predicted = bool(predictions_of(path))
    try:
        runs = finished_runs(path)
    except FileNotFoundError:
        if predicted:
            return []
        raise
    return [run for run in runs if _has_figures(run) or (run.results if predicted else run.tested())]


def _has_figures(run: RunRecord) -> bool:
    return any(run.summary.get(figure) is not None for figure in FIGURES)


def _gaps(group: str, runs: Sequence[RunRecord]) -> "Iterator[Gap]":
    """What runs of a group lack, and the commands that make it."""
    from anomaly_diffusion.report.page import Gap

    for absent, some in grouped(runs, _absent).items():
        if absent:
            yield Gap(group, [run.name for run in some], absent, [_test(run.folder) for run in some])
    if single := [run.name for run in runs if "depths.csv" in run.missing]:
        yield Gap(group, single, "depths.csv (tested at one depth, or at none)")


def _absent(run: RunRecord) -> str:
    return ", ".join(name for name in run.missing if name in _OF_A_TEST)


def _test(folder: Path) -> str:
    """Test the same run or evaluation again; its results become another evaluation."""
    evaluation = run_folder.evaluation_of(folder)
    source = folder if evaluation is None else folder.parent.parent
    command = ["anomaly-diffusion", "test", "--run_folder", str(source)]
    return shlex.join(command if evaluation is None else [*command, "--config", str(folder / run_folder.CONFIG)])


def _claim(folder: Path) -> None:
    """Make sure that files can be written, before anything is read."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"`output` must be a folder that can be written to, got {folder}: {reason}.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion report",
        description="Write a page about finished runs: results, costs, depths, failures, pictures, every image; what "
        "they have predicted.",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        help="run folders, experiment folders that hold several seeds, or one evaluation of predict",
    )
    parser.add_argument(
        "--all_controls", action="store_true", help="a row for each control, not the best of each figure"
    )
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder for index.html and index.md")
    return parser
