"""`report`: what several runs have found and where they fail, as one page to read in a browser and as Markdown."""

import argparse
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly_diffusion.runs import run_folder

if TYPE_CHECKING:
    from anomaly_diffusion.report.page import Gap
    from anomaly_diffusion.runs.run_results import RunResults

__all__ = ["main"]

_OF_A_TEST = ("per_image.csv", "failures.csv", "failures.json", "panels/test.png")


def main(arguments: list[str]) -> int:
    """Write `index.html`, `index.md` and `pictures/`; nothing is trained, and nothing but run folders is read."""
    options = _parser().parse_args(arguments)
    _claim(options.output)
    start = time.perf_counter()
    from anomaly_diffusion import files
    from anomaly_diffusion.cli.compare import data_set
    from anomaly_diffusion.report.markdown import markdown_page
    from anomaly_diffusion.report.page import html_page, make_report

    groups = _groups(options.runs)
    titles = {name: data_set(runs[0].folder) for name, runs in groups.items()}
    gaps = [gap for runs in groups.values() for gap in _gaps(runs)]
    report = make_report(groups, titles, gaps)
    text, pictures = markdown_page(report)
    written: dict[str, str | bytes] = {"index.html": html_page(report), "index.md": text, **pictures}
    for name, content in written.items():
        files.write(options.output / name, content)
    size, seconds = (options.output / "index.html").stat().st_size / 1e6, time.perf_counter() - start
    print(f"{options.output / 'index.html'}: {len(report.runs)} runs, {size:.1f} MB, {seconds:.1f} s")
    for line in [*(f"{gap.group}, {', '.join(gap.runs)}: no {gap.files}" for gap in gaps), *report.left_out]:
        print(f"  {line}")
    return 0


def _groups(paths: list[Path]) -> "dict[str, list[RunResults]]":
    """All runs by the name of their group, each once."""
    from anomaly_diffusion.cli.compare import group_of, run_folders
    from anomaly_diffusion.runs.run_results import read_run

    folders = list(dict.fromkeys(folder.resolve() for path in paths for folder in run_folders(path)))
    shown = {folder.resolve(): folder for path in paths for folder in run_folders(path)}
    groups: dict[str, list[RunResults]] = {}
    for folder in folders:
        name = group_of(folder)
        groups.setdefault(name, []).append(read_run(shown[folder], name, _name(folder)))
    return groups


def _name(folder: Path) -> str:
    """The run; of an evaluation, with its number."""
    evaluation = run_folder.evaluation_of(folder)
    return folder.name if evaluation is None else f"{evaluation[0].name}/{folder.name}"


def _gaps(runs: "list[RunResults]") -> "Iterator[Gap]":
    """What runs of a group lack, and the commands that make it."""
    from anomaly_diffusion.report.page import Gap

    lacking: dict[str, list[RunResults]] = {}
    for run in runs:
        lacking.setdefault(", ".join(file for file in run.missing if file in _OF_A_TEST), []).append(run)
    for files, some in lacking.items():
        if files:
            yield Gap(runs[0].group, [run.name for run in some], files, [_test(run.folder) for run in some])
    if single := [run.name for run in runs if "depths.csv" in run.missing]:
        yield Gap(runs[0].group, single, "depths.csv (tested at one depth, or at none)")


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
        description="Write a page about tested runs: results, costs, depths, failures, pictures, every image.",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or experiment folders that hold several seeds")
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder for index.html and index.md")
    return parser
