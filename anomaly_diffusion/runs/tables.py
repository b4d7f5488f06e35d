"""Results as tables: on the terminal after each run, in Markdown over several."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from anomaly_diffusion.names import CONTROLS, COSTS, FIGURES, RUN_COSTS
from anomaly_diffusion.runs.defect_sizes import SizeClass


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


def markdown_table(summaries: Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]]) -> str:
    """Mean ± standard deviation over runs as a Markdown table; below the models of each test set, its controls.

    Args:
        summaries: contents of `summary.json` of runs that differ in their seed only; or several such groups by name.
    """
    heads, *rows = table_rows(summaries if isinstance(summaries, Mapping) else {"model": summaries})
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def table_rows(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """The cells of that table, heads first; models are in bold, **so**, and controls are called so."""
    rows = [["", "runs", *FIGURES.values(), *COSTS.values(), *RUN_COSTS.values()]]
    for names in by_test_set(groups):
        rows += [
            [f"**{name}**", str(len(groups[name])), *_cells(groups[name]), *_run_costs(groups[name])] for name in names
        ]
        runs = [run for name in names for run in groups[name]]
        for name in dict.fromkeys(name for run in runs for name in run.get("controls", {})):
            figures = [run["controls"][name] for run in runs if name in run.get("controls", {})]
            blank = ["-"] * len(RUN_COSTS)
            rows.append([f"control: {CONTROLS.get(name, name)}", str(len(figures)), *_cells(figures), *blank])
    return rows


def csv_table(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The figures and costs of every run, a row each, as CSV; empty where a run has none.

    Args:
        groups: contents of `summary.json`, by name of the group.
    """
    names = [*FIGURES, *COSTS, *RUN_COSTS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", *names])
    for group, runs in groups.items():
        writer.writerows([group, *(run.get(name) for name in names)] for run in runs)
    return text.getvalue()


def size_table(groups: Mapping[str, Sequence[Sequence[SizeClass]]]) -> str:
    """Image AUROC by size of defect, mean ± standard deviation over runs, as a Markdown table.

    Args:
        groups: size classes of each run, small ones first, by name of the group.
    """
    count = max((len(run) for runs in groups.values() for run in runs), default=0)
    thirds = ["smallest", *["next"] * (count - 2), "largest"][:count]
    heads = ["image AUROC by size", "runs", *(f"{third} 1/{count} of defects" for third in thirds)]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, runs in groups.items():
        cells = []
        for classes in zip(*runs, strict=True):
            found = mean_and_spread([size.image_auroc for size in classes], 3)
            cells.append(f"{found} (up to {classes[0].largest:.2%})")
        rows.append([f"**{name}**", str(len(runs)), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def by_test_set(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """Names of groups that were measured on the same images: a control that has learnt nothing tells."""
    sets: dict[str, list[str]] = {}
    for name, runs in groups.items():
        untaught = [run["controls"]["blurred_self"] for run in runs if "blurred_self" in run.get("controls", {})]
        measured = untaught[0].items() if untaught else ()
        figures = {figure: round(value or 0.0, 3) for figure, value in measured}  # machines differ by less
        sets.setdefault(str(figures or name), []).append(name)
    return list(sets.values())


def _broken(mark: re.Match[str]) -> str:
    """A line break in place of a space, behind a slash, before an @: columns narrow enough for 80 characters."""
    return {" ": "\n", "/": "/\n", "@": "\n@"}[mark[0]]


def _cells(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    figures = [mean_and_spread([run.get(name) for run in runs], 3) for name in FIGURES]
    costs = [mean_and_spread([run.get("nfe") for run in runs], 0)]
    return figures + costs + [mean_and_spread([run.get("seconds_per_image") for run in runs], 4)]


def _run_costs(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [mean_and_spread([run.get(name) for run in runs], 0) for name in RUN_COSTS]


def mean_and_spread(values: Sequence[float | None], digits: int) -> str:
    """Mean ± standard deviation of what is known, or a dash."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "-"
    spread = f" ± {stdev(known):.{digits}f}" if len(known) > 1 and digits else ""
    return f"{fmean(known):.{digits}f}{spread}"
