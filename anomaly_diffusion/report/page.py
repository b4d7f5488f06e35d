"""One page about many runs, as HTML that needs nothing but itself.

Everything that comes from a user's files is escaped by the template engine; none of it is ever put into a script. A
content security policy forbids the page any network, and any script but the one that its hash names.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from anomaly_diffusion import __version__
from anomaly_diffusion.report.charts import Chart, cost_chart, depth_charts, spectra_charts
from anomaly_diffusion.report.galleries import Gallery, galleries, within
from anomaly_diffusion.report.grids import Grid, Groups, depth_grid, failure_grid, found_grids, result_grids
from anomaly_diffusion.report.image_table import ImageTable, image_table
from anomaly_diffusion.runs.run_results import RunResults

__all__ = ["Gap", "Report", "Shelf", "html_page", "make_report"]

LIMIT = 9_500_000  # bytes of the page
_LEAST = 100_000  # bytes of pictures that every group may have


@dataclass(frozen=True)
class Gap:
    """What runs of a group lack.

    Args:
        group: its name.
        runs: their names.
        files: what they lack.
        commands: what makes it, for each run; none where nothing can be done.
    """

    group: str
    runs: Sequence[str]
    files: str
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Shelf:
    """The pictures of one run, which stands for its group.

    Args:
        group: its name.
        run: number of the run among all.
        name: of the run.
        galleries: at least one.
    """

    group: str
    run: int
    name: str
    galleries: Sequence[Gallery]


@dataclass(frozen=True)
class Report:
    """All that a page shows.

    Args:
        runs: all of them, group by group.
        results: a table for each test set.
        cost: accuracy over cost, if known.
        depth: a table and curves.
        failing: measures of failures.
        found: tables of recall by size and contrast.
        spectra: drawings.
        shelves: pictures, group by group.
        images: all images.
        gaps: what runs lack.
        left_out: what there was no room for.
    """

    runs: Sequence[RunResults]
    results: Sequence[Grid]
    cost: Chart | None
    depth: Grid
    depth_charts: Sequence[Chart]
    failing: Grid
    found: Sequence[Grid]
    spectra: Sequence[Chart]
    shelves: Sequence[Shelf]
    images: ImageTable
    gaps: Sequence[Gap]
    left_out: Sequence[str]


def make_report(groups: Groups, titles: Mapping[str, str], gaps: Sequence[Gap], limit: int = LIMIT) -> Report:
    """Everything but the page itself.

    Args:
        groups: runs that differ in their seed only, by name.
        titles: the data set of each group.
        gaps: what runs lack.
        limit: bytes that the page should not exceed.
    """
    runs = [run for several in groups.values() for run in several]
    images = image_table(runs)
    drawn = [depth_charts(groups), spectra_charts(groups)]
    used = sum(len(line.path) + 220 + 12 * len(images.columns) for line in images.lines)
    used += sum(chart.picture.bytes_in_page for charts in drawn for chart in charts)
    room = max(_LEAST, (limit - used) // max(1, len(groups)))
    shelves = [shelf for name, several in groups.items() if (shelf := _shelf(name, several, runs, room))]
    return Report(
        runs=runs,
        results=result_grids(groups, titles),
        cost=cost_chart(groups, titles),
        depth=depth_grid(groups),
        depth_charts=drawn[0],
        failing=failure_grid(groups),
        found=found_grids(groups),
        spectra=drawn[1],
        shelves=shelves,
        images=images,
        gaps=gaps,
        left_out=list(_left_out(groups, shelves, images)),
    )


def html_page(report: Report) -> str:
    """The page; it holds its pictures, its style and its script."""
    style, script = (_source(f"report.{kind}") for kind in ("css", "js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    parts = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return _template().render(**parts, **_shared(report))


def _shelf(group: str, runs: Sequence[RunResults], numbered: Sequence[RunResults], room: int) -> Shelf | None:
    """The first run of the group that has the most kinds of pictures."""
    chosen = max(runs, key=lambda run: (bool(run.analysis.get("worst")), bool(run.shown)))
    found = [gallery for gallery in within(room, galleries(chosen)) if gallery.slides]
    return Shelf(group, numbered.index(chosen), chosen.name, found) if found else None


def _left_out(groups: Groups, shelves: Sequence[Shelf], images: ImageTable) -> Sequence[str]:
    said = []
    more = sum(len(runs) > 1 for runs in groups.values())
    if more:
        said.append("Pictures and spectra are those of one run of each group; the others are in their run folders.")
    for shelf in shelves:
        shown, total = (sum(count) for count in zip(*((len(g.slides), g.total) for g in shelf.galleries), strict=True))
        if shown < total:
            said.append(f"{shelf.group}: {total - shown} of {total} pictures, for the size of this page.")
    if len(images.lines) < images.total:
        said.append(f"{images.total - len(images.lines)} of {images.total} lines of the table of images.")
    return said


def _shared(report: Report) -> dict[str, Any]:
    counts = {"groups": len({run.group for run in report.runs}), "runs": len(report.runs)}
    shown = {
        (shelf.run, slide.path): f"s{place}-0-{number}"
        for place, shelf in enumerate(report.shelves)
        if shelf.galleries[0].title == "Test images"
        for number, slide in enumerate(shelf.galleries[0].slides)
        if slide.path
    }
    return {"report": report, "counts": counts, "shown": shown, "version": __version__}


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_source("report.html"))


def _source(name: str) -> str:
    return (files("anomaly_diffusion.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
