"""Results as tables: on the terminal after each run, in Markdown and on pages over several."""

import csv
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from anomaly_diffusion.names import CONTROLS, COSTS, FIGURES, RUN_COSTS
from anomaly_diffusion.runs.defect_sizes import SizeClass
from anomaly_diffusion.runs.record import Groups

_MARKUP = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is one


@dataclass(frozen=True)
class Grid:
    """A table of words, for Markdown or for a page.

    Args:
        heads: of its columns; the first one heads the names of rows.
        rows: cells of each row, its name first; what follows a line break is less important.
        title: what it shows.
        quiet: numbers of rows that are there for comparison only.
        hints: what a head means.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    quiet: frozenset[int] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table without its title; names of rows that are not quiet are bold."""
        lines = [[plain(head) for head in self.heads], ["---", *["---:"] * (len(self.heads) - 1)]]
        for place, row in enumerate(self.rows):
            name, *cells = map(plain, row)
            lines.append([name if place in self.quiet else f"**{name}**", *cells])
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain(text: str) -> str:
    """A text that Markdown and the HTML in it take for nothing but text, on one line."""
    return html.escape(_MARKUP.sub(r"\\\g<0>", re.sub(r"\s+", " ", text)), quote=False)


def summary_table(summary: Mapping[str, Any], title: str = "") -> Table:
    """The model and its controls, one row each, for the terminal.

    Args:
        summary: the content of a `summary.json`.
        title: what the figures were measured on.
    """
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    for name in [*FIGURES, *COSTS]:
        table.add_column(re.sub("[ /@]", _broken, (FIGURES | COSTS)[name]), justify="right")
    table.add_row("model", *_cells([summary]), style="bold", end_section=True)
    for name, figures in summary.get("controls", {}).items():
        table.add_row(CONTROLS.get(name, name), *_cells([figures]))
    return table


def told(verdicts: Mapping[str, Any]) -> list[str]:
    """What verdicts are worth, in sentences; none where no limit was known.

    Args:
        verdicts: those of a `summary.json`.
    """
    if "found" not in verdicts:
        return []
    found, alarms, place = (_rate(verdicts[name]) for name in ("found", "false_alarms", "in_place"))
    made = "extrapolated" if verdicts["extrapolated"] else "set"
    lines = [
        f"finds {found} at a limit for {verdicts['promised']:.2g} false alarms a normal image; false alarms {alarms}; "
        f"in the right place {place}",
        f"the limit {verdicts['limit']:.3g} is {made} by {verdicts['normals']} held-out normal images: with 95 % "
        f"confidence no more than {verdicts['at_most']:.0%} false alarms",
    ]
    if verdicts["drift_normal"]["hits"]:
        lines.append(
            f"normal test images that are unlike all others: {_rate(verdicts['drift_normal'])}; limits may not hold"
        )
    return lines


def _rate(rate: Mapping[str, Any]) -> str:
    """For instance "163/196 (77-88 %)"."""
    if not rate["total"]:
        return "-"
    return f"{rate['hits']}/{rate['total']} ({100 * rate['low']:.0f}-{rate['high']:.0%})"


def results_grid(groups: Groups) -> Grid:
    """Mean ± standard deviation over runs; below the models of each test set, its controls.

    Args:
        groups: runs that differ in their seed only, by name.
    """
    heads = ["", "runs", *FIGURES.values(), *COSTS.values(), *RUN_COSTS.values()]
    rows: list[list[str]] = []
    quiet: list[int] = []
    for names in by_test_set(groups):
        summaries = {name: [run.summary for run in groups[name]] for name in names}
        rows += [[name, str(len(runs)), *_cells(runs), *_run_costs(runs)] for name, runs in summaries.items()]
        controls = [run.get("controls", {}) for runs in summaries.values() for run in runs]
        for name in dict.fromkeys(name for found in controls for name in found):
            figures = [found[name] for found in controls if name in found]
            blank = ["-"] * len(RUN_COSTS)
            quiet.append(len(rows))
            rows.append([f"control: {CONTROLS.get(name, name)}", str(len(figures)), *_cells(figures), *blank])
    return Grid(heads, rows, quiet=frozenset(quiet))


def csv_table(groups: Groups) -> str:
    """The figures and costs of every run, a row each, as CSV; empty where a run has none."""
    names = [*FIGURES, *COSTS, *RUN_COSTS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", *names])
    for group, runs in groups.items():
        writer.writerows([group, *(run.summary.get(name) for name in names)] for run in runs)
    return text.getvalue()


def size_grid(groups: Mapping[str, Sequence[Sequence[SizeClass]]]) -> Grid:
    """Image AUROC by size of defect, mean ± standard deviation over runs.

    Args:
        groups: size classes of each run, small ones first, by name of the group.
    """
    count = max((len(run) for runs in groups.values() for run in runs), default=0)
    thirds = ["smallest", *["next"] * (count - 2), "largest"][:count]
    heads = ["image AUROC by size", "runs", *(f"{third} 1/{count} of defects" for third in thirds)]
    rows = []
    for name, runs in groups.items():
        cells = []
        for classes in zip(*runs, strict=True):
            found = mean_and_std([size.image_auroc for size in classes], 3)
            cells.append(f"{found} (up to {classes[0].largest:.2%})")
        rows.append([name, str(len(runs)), *cells])
    return Grid(heads, rows)


def by_test_set(groups: Groups) -> list[list[str]]:
    """Names of groups that were measured on the same images: files of the same names, read at the same size.

    Files of two data sets may have the same names, and those of one may be read at two sizes: so what the run's config
    says of its data must agree as well.
    """
    sets: dict[tuple[str, str], list[str]] = {}
    for name, runs in groups.items():
        tested = next((run for run in runs if run.test_set), None)
        key = ("", name) if tested is None else (tested.test_set, tested.data_set)
        sets.setdefault(key, []).append(name)
    return list(sets.values())


def _broken(mark: re.Match[str]) -> str:
    """A line break in place of a space, behind a slash, before an @: columns narrow enough for 80 characters."""
    return {" ": "\n", "/": "/\n", "@": "\n@"}[mark[0]]


def _cells(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    figures = [mean_and_std([run.get(name) for run in runs], 3) for name in FIGURES]
    costs = [mean_and_std([run.get("nfe") for run in runs], 0)]
    return figures + costs + [mean_and_std([run.get("seconds_per_image") for run in runs], 4)]


def _run_costs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [mean_and_std([run.get(name) for run in runs], 0) for name in RUN_COSTS]


def mean_and_std(values: Sequence[float | None], digits: int) -> str:
    """Mean ± standard deviation of what is known, or a dash."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    std = f" ± {stdev(known):.{digits}f}" if len(known) > 1 and digits else ""
    return f"{fmean(known):.{digits}f}{std}"
