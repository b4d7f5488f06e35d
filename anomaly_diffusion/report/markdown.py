"""The same report as Markdown, with its pictures in a folder beside it."""

from collections.abc import Iterator, Sequence

from anomaly_diffusion.measures.failures import FAILURES
from anomaly_diffusion.report.charts import Chart
from anomaly_diffusion.report.page import Report
from anomaly_diffusion.report.thumbnails import photograph
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.runs.tables import Grid, plain

__all__ = ["markdown_page"]

_FOLDER = "pictures"
_WIDEST = 1000  # pixels


def markdown_page(report: Report) -> tuple[str, dict[str, bytes]]:
    """The text, and the pictures that it shows by their paths beside it."""
    pictures: dict[str, bytes] = {}
    lines = list(_lines(report, pictures))
    return "\n".join(lines).strip() + "\n", pictures


def _lines(report: Report, pictures: dict[str, bytes]) -> Iterator[str]:
    yield "# Report\n\nThe same with sliders, and with a table of all images: [index.html](index.html)\n"
    if report.runs:
        yield "## Results\n\nMean ± standard deviation over runs that differ in their seed; controls learnt nothing.\n"
    for grid in report.results:
        yield _grid(grid)
    if report.verdicts:
        yield "## Verdicts\n"
        for place, chart in enumerate(report.verdicts, start=1):
            yield f"{plain(chart.title)}{': ' + plain(chart.note) if chart.note else ''}.\n"
            yield _chart(chart, f"verdict-{place}", pictures)
    if report.cost:
        yield f"## {plain(report.cost.title)}\n"
        yield _chart(report.cost, "cost", pictures)
        yield f"Not on the chart: {plain(report.cost.note)}.\n" if report.cost.note else ""
    if report.depth.rows:
        yield "## Depth\n"
        yield _grid(report.depth)
        yield from _charts(report.depth_charts, "depth", pictures)
    if report.failing.rows or report.found or report.spectra:
        yield "## Where they fail\n"
        for grid in [report.failing, *report.found]:
            yield _grid(grid)
        yield from _charts(report.spectra, "spectra", pictures)
    for place, one in enumerate(report.pictured):
        yield from _sheets(one.run, place, pictures)
    if report.predicted.runs:
        yield from _predictions(report, pictures)
    yield from _missing(report)


def _predictions(report: Report, pictures: dict[str, bytes]) -> Iterator[str]:
    """What each has found, its sheet, and what could not be judged; single photographs are in the page alone."""
    yield f"## Predictions\n\n{report.predicted.grid.markdown()}"
    for place, run in enumerate(report.predicted.runs, start=1):
        sheet = run.folder / "panels" / "predict.png"
        if picture := photograph(sheet.read_bytes(), _WIDEST) if sheet.is_file() else None:
            name = f"{_FOLDER}/prediction-{place}.webp"
            pictures[name] = picture.data
            yield f"![{plain(run.name)}, the highest scores]({name})\n"
    for source, path, problem in report.predicted.unjudged:
        yield f"- {plain(source)}: **{plain(path)}** was not judged: {plain(problem)}"


def _sheets(run: RunRecord, place: int, pictures: dict[str, bytes]) -> Iterator[str]:
    """Contact sheets as the run has drawn them."""
    sheets = [("Test images, chosen by kind and place, not by result", run.folder / "panels" / "test.png")]
    sheets += [(failure.title, run.folder / "failures" / f"{failure.name}.png") for failure in FAILURES]
    drawn = [(title, path) for title, path in sheets if path.is_file()]
    if drawn:
        yield f"## {plain(run.group)}, {plain(run.name)}\n"
    for title, path in drawn:
        if picture := photograph(path.read_bytes(), _WIDEST):
            name = f"{_FOLDER}/{place + 1}-{path.stem}.webp"
            pictures[name] = picture.data
            yield f"![{plain(title)}]({name})\n"


def _missing(report: Report) -> Iterator[str]:
    if report.gaps or report.left_out:
        yield "## What is missing\n"
    for gap in report.gaps:
        yield f"- **{plain(gap.group)}**, {plain(', '.join(gap.runs))}: no {plain(gap.files)}."
        yield from (f"  This makes them: {plain(command)}" for command in gap.commands)
    for line in report.left_out:
        yield f"- Left out of index.html: {plain(line)}"


def _grid(grid: Grid) -> str:
    return f"{plain(grid.title)}\n\n{grid.markdown()}" if grid.rows else ""


def _charts(charts: Sequence[Chart], kind: str, pictures: dict[str, bytes]) -> Iterator[str]:
    for place, chart in enumerate(charts, start=1):
        yield f"{plain(chart.title)}:\n"
        yield _chart(chart, f"{kind}-{place}", pictures)


def _chart(chart: Chart, name: str, pictures: dict[str, bytes]) -> str:
    path = f"{_FOLDER}/{name}.webp"
    pictures[path] = chart.picture.data
    return f"![{plain(chart.text)}]({path})\n"
