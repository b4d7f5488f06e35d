"""`paper`: report, slides and a page about a folder of runs, as PDF and HTML."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly_diffusion import files

if TYPE_CHECKING:
    from anomaly_diffusion.report.paper.study import Study

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Write `report.pdf`, `slides.pdf`, `appendix.md`, `index.html` and what they are made of; nothing is trained."""
    options = _parser().parse_args(arguments)
    from anomaly_diffusion.report.paper.records import records, unpacked
    from anomaly_diffusion.report.paper.study import read_study

    with unpacked(options.runs) as runs:
        study = read_study(runs)
        if options.records:
            _write(options.records, records(study))
        _write_documents(study, options)
    return 0


def _write_documents(study: "Study", options: argparse.Namespace) -> None:
    from anomaly_diffusion.report.paper.appendix import as_markdown
    from anomaly_diffusion.report.paper.documents import DOCUMENTS, compiled, make_sections, write_sources
    from anomaly_diffusion.report.paper.missing import lacks

    sections = make_sections(study, options.photographs)
    lacking = lacks(study, sections)
    build = options.output / "build"
    told = write_sources(build, study, sections, lacking)
    print(f"{len(study.trials)} runs, {len(sections)} sections: {', '.join(sections)}")
    for lack in lacking:
        print(f"  missing: {lack.what}\n    {lack.command}")
    written: Mapping[str, str | bytes] = {
        "appendix.md": as_markdown(told["appendix"], sections),
        "index.html": _page(study, options.photographs),
    }
    for name, content in written.items():
        _write(options.output / name, content)
    for name in DOCUMENTS:
        _write(options.output / f"{name}.pdf", compiled(build, name))


def _page(study: "Study", photographs: bool) -> str:
    """The page of `report`, without photographs that may not be passed on."""
    from anomaly_diffusion.report.page import html_page, make_report
    from anomaly_diffusion.report.paper.sections.gallery import may_be_shown

    report = make_report(study.groups(), [])
    shown = {trial.run.group for trial in study.trials if photographs or may_be_shown(trial)}
    pictured = [one if one.run.group in shown else replace(one, galleries=[]) for one in report.pictured]
    hidden = [one.run.group for one in pictured if one.run.group not in shown]
    said = [*report.left_out, *(f"Photographs of {name}, which may not be passed on." for name in hidden)]
    return html_page(replace(report, pictured=pictured, left_out=said))


def _write(path: Path, content: str | bytes) -> None:
    files.write(path, content)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion paper",
        description="Write a report, slides and a page about a folder of runs that are called MODEL-DATA[-CHANGE]/RUN.",
    )
    parser.add_argument("runs", type=Path, help="the folder that holds all experiments, or a file of --records")
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="folder for report.pdf, slides.pdf, index.html"
    )
    parser.add_argument(
        "--records", type=Path, metavar="FILE", help="keep what the runs say in one small .tar.xz, to make this again"
    )
    parser.add_argument(
        "--photographs",
        action="store_true",
        help="show photographs of every data set, not only of the built-in textures: mind their licences",
    )
    return parser
