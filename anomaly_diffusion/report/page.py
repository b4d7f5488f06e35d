"""One page about many runs, as HTML that needs nothing but itself.

Everything that comes from a user's files is escaped by the template engine; none of it is ever put into a script. A
content security policy forbids the page any network, and any script but the one that its hash names.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from anomaly_diffusion import __version__
from anomaly_diffusion.report.charts import Chart, cost_chart, depth_charts, spectra_charts, verdict_charts
from anomaly_diffusion.report.galleries import Gallery, galleries, within
from anomaly_diffusion.report.grids import category_results, depth_grid, failure_grid, found_grids, result_grids
from anomaly_diffusion.report.image_table import ImageTable, image_table
from anomaly_diffusion.report.predicted import PicturedPrediction, Predicted, left_out, predicted, predicted_pictures
from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid

__all__ = ["Gap", "PicturedRun", "Report", "html_page", "make_report"]

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
class PicturedRun:
    """A run that stands for its group.

    Args:
        run: itself.
        galleries: its pictures for the page, none without tiles; Markdown shows its contact sheets.
    """

    run: RunRecord
    galleries: Sequence[Gallery]


@dataclass(frozen=True)
class Report:
    """All that a page shows.

    Args:
        runs: all of them, group by group.
        results: a table for each test set, then one for each group that was tested on several categories.
        verdicts: what they are worth, group by group.
        cost: accuracy over cost, if known.
        depth: a table and curves.
        failing: measures of failures.
        found: tables of recall by size and contrast.
        spectra: drawings.
        pictured: pictures, group by group.
        images: all images.
        predicted: photographs that were judged without knowing the truth.
        predicted_pictures: their pictures, prediction by prediction.
        gaps: what runs lack.
        left_out: what there was no room for.
    """

    runs: Sequence[RunRecord]
    results: Sequence[Grid]
    verdicts: Sequence[Chart]
    cost: Chart | None
    depth: Grid
    depth_charts: Sequence[Chart]
    failing: Grid
    found: Sequence[Grid]
    spectra: Sequence[Chart]
    pictured: Sequence[PicturedRun]
    images: ImageTable
    predicted: Predicted
    predicted_pictures: Sequence[PicturedPrediction]
    gaps: Sequence[Gap]
    left_out: Sequence[str]


def make_report(
    groups: Groups,
    gaps: Sequence[Gap],
    predictions: Sequence[RunRecord] = (),
    limit: int = LIMIT,
    all_controls: bool = False,
) -> Report:
    """Everything but the page itself.

    Args:
        groups: runs that differ in their seed only, by name.
        gaps: what runs lack.
        predictions: evaluations that hold some.
        limit: bytes that the page should not exceed.
        all_controls: whether tables have every control, not the best of each figure.
    """
    runs = [run for several in groups.values() for run in several]
    images = image_table(runs)
    drawn = [depth_charts(groups), spectra_charts(groups), verdict_charts(groups)]
    used = sum(len(line.result.path) + 220 + 12 * len(images.columns) for line in images.lines)
    used += sum(chart.picture.bytes_in_page for charts in drawn for chart in charts)
    found = predicted(predictions)
    used += sum(len(line.result.path) + 300 + 90 * len(line.regions) + 100 * len(line.drift) for line in found.lines)
    room = max(_LEAST, (limit - used) // max(1, len(groups) + len(predictions)))
    of_predictions = [predicted_pictures(run, room) for run in predictions]
    pictured = [_pictured(several, room) for several in groups.values()]
    return Report(
        runs=runs,
        results=[*result_grids(groups, all_controls), *category_results(groups)],
        verdicts=drawn[2],
        cost=cost_chart(groups),
        depth=depth_grid(groups),
        depth_charts=drawn[0],
        failing=failure_grid(groups),
        found=found_grids(groups),
        spectra=drawn[1],
        pictured=pictured,
        images=images,
        predicted=found,
        predicted_pictures=of_predictions,
        gaps=gaps,
        left_out=[*_left_out(groups, pictured, images), *left_out(found, of_predictions)],
    )


def html_page(report: Report) -> str:
    """The page; it holds its pictures, its style and its script."""
    style, script = (_source(f"report.{kind}") for kind in ("css", "js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    parts = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return _template().render(**parts, **_shared(report))


def _pictured(runs: Sequence[RunRecord], room: int) -> PicturedRun:
    """The first run of the group that has the most kinds of pictures."""
    chosen = max(runs, key=lambda run: ("tiles/" not in run.missing, bool(run.failures.get("worst")), bool(run.shown)))
    found = [gallery for gallery in within(room, galleries(chosen)) if gallery.slides]
    return PicturedRun(chosen, found)


def _left_out(groups: Groups, pictured: Sequence[PicturedRun], images: ImageTable) -> Sequence[str]:
    said = []
    more = sum(len(runs) > 1 for runs in groups.values())
    if more:
        said.append("Pictures and spectra are those of one run of each group; the others are in their run folders.")
    for one in pictured:
        total = sum(gallery.total for gallery in one.galleries)
        shown = sum(len(gallery.slides) for gallery in one.galleries)
        if shown < total:
            said.append(f"{one.run.group}: {total - shown} of {total} pictures, for the size of this page.")
    if len(images.lines) < images.total:
        said.append(f"{images.total - len(images.lines)} of {images.total} lines of the table of images.")
    return said


def _shared(report: Report) -> dict[str, Any]:
    counts = {"model": len({run.group for run in report.runs}), "run": len(report.runs)}
    shown = {
        (report.runs.index(one.run), slide.result.path): f"s{place}-0-{number}"
        for place, one in enumerate(report.pictured)
        if one.galleries and one.galleries[0].title == "Test images"
        for number, slide in enumerate(one.galleries[0].slides)
    }
    title = ", ".join(
        f"{count} {noun}{'' if count == 1 else 's'}"
        for noun, count in (*counts.items(), ("prediction", len(report.predicted.runs)))
        if count
    )
    judged = {
        (report.predicted.runs.index(one.run), slide.result.path): f"p{place}-0-{number}"
        for place, one in enumerate(report.predicted_pictures)
        for gallery in one.galleries
        for number, slide in enumerate(gallery.slides)
    }
    return {"report": report, "title": title, "shown": shown, "judged": judged, "version": __version__}


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_source("report.html"))


def _source(name: str) -> str:
    return (files("anomaly_diffusion.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
