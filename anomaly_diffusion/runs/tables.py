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
        best: row and column of the cells that are the best of their column.
        notes: what must not be overlooked, a sentence each.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    quiet: frozenset[int] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)
    best: frozenset[tuple[int, int]] = frozenset()
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table without its title, then its notes; names of rows that are not quiet are bold, as are best cells."""
        lines = [[plain(head) for head in self.heads], ["---", *["---:"] * (len(self.heads) - 1)]]
        for place, row in enumerate(self.rows):
            cells = [_bold(plain(cell), (place, column) in self.best) for column, cell in enumerate(row)]
            lines.append([_bold(cells[0], place not in self.quiet), *cells[1:]])
        table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
        return table + "".join(f"\n{plain(note)}\n" for note in self.notes)


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def plain(text: str) -> str:
    """A text that Markdown and the HTML in it take for nothing but text, on one line."""
    return html.escape(_MARKUP.sub(r"\\\g<0>", re.sub(r"\s+", " ", text)), quote=False)


def summary_table(summary: Mapping[str, Any], title: str = "", all_controls: bool = False) -> Table:
    """The model and the best control of each figure, for the terminal; the best of each column is bold.

    Args:
        summary: the content of a `summary.json`.
        title: what the figures were measured on.
        all_controls: whether every control has a row instead.
    """
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=0)
    table.add_column("", no_wrap=True)
    for name in [*FIGURES, *COSTS]:
        table.add_column(re.sub("[ /@]", _broken, (FIGURES | COSTS)[name]), justify="right")
    controls: Mapping[str, Mapping[str, Any]] = summary.get("controls", {})
    rows = {"model": _cells([summary])}
    if all_controls:
        rows |= {CONTROLS.get(name, name): _cells([figures]) for name, figures in controls.items()}
    elif controls:
        rows["best control"] = _best_control([controls])
    best = _best_cells(list(rows.values()))
    for place, (name, cells) in enumerate(rows.items()):
        shown = [cell.partition("\n")[0] for cell in cells]
        marked = [f"[bold]{cell}[/bold]" if (place, column) in best else cell for column, cell in enumerate(shown)]
        table.add_row(name, *marked, end_section=not place)
    return table


def terminal_table(grid: Grid) -> Table:
    """A grid for the terminal; its last row, which sums up, stands apart."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=0)
    for place, head in enumerate(grid.heads):
        table.add_column(re.sub("[ /@]", _broken, head), justify="right" if place else "left", overflow="fold")
    for place, row in enumerate(grid.rows):
        table.add_row(*row, end_section=place == len(grid.rows) - 2)
    return table


def beaten_by(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By how much a control is better than the model: figures by the name of the control; empty if none is.

    Args:
        summary: the content of a `summary.json`, or what of it holds figures and "controls".
    """
    found: dict[str, dict[str, float]] = {}
    for control, figures in summary.get("controls", {}).items():
        for name in FIGURES:
            mine, other = summary.get(name), figures.get(name)
            if mine is not None and other is not None and other > mine:
                found.setdefault(control, {})[name] = other - mine
    return found


def losses(beaten: Mapping[str, Mapping[str, float]], model: str = "this model") -> list[str]:
    """The same in sentences, of each figure the best control: "the mean image beats this model in pixel AP (by .102)".

    Args:
        beaten: by control, see `beaten_by`.
        model: what it is called.
    """
    said: dict[str, list[str]] = {}
    for name, head in FIGURES.items():
        margins = {control: figures[name] for control, figures in beaten.items() if name in figures}
        if margins:
            best = max(margins, key=lambda control: margins[control])
            said.setdefault(best, []).append(f"{head} (by {margins[best]:.3f})")
    return [f"the {CONTROLS.get(name, name)} beats {model} in {', '.join(figures)}" for name, figures in said.items()]


def told(verdicts: Mapping[str, Any]) -> list[str]:
    """What verdicts are worth, in sentences; none where no limit was known.

    Args:
        verdicts: those of a `summary.json`.
    """
    if "found" not in verdicts:
        return []
    found, alarms, place = (_rate(verdicts[name]) for name in ("found", "false_alarms", "in_place"))
    if "by_category" in verdicts:
        return [f"finds {found} at limits of each category; false alarms {alarms}; in the right place {place}"]
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


def results_grid(groups: Groups, all_controls: bool = False) -> Grid:
    """Mean ± standard deviation over runs; below the models of each test set, the best control of each figure.

    The best of each figure on a test set is bold; notes say which control beats which model.

    Args:
        groups: runs that differ in their seed only, by name.
        all_controls: whether every control has a row instead.
    """
    heads = ["", "runs", *FIGURES.values(), *COSTS.values(), *RUN_COSTS.values()]
    rows: list[list[str]] = []
    quiet: list[int] = []
    best: set[tuple[int, int]] = set()
    notes: list[str] = []
    for names in by_test_set(groups):
        first, blank = len(rows), ["-"] * len(RUN_COSTS)
        summaries = {name: [run.summary for run in groups[name]] for name in names}
        rows += [[name, str(len(runs)), *_cells(runs), *_run_costs(runs)] for name, runs in summaries.items()]
        controls = [found for runs in summaries.values() for run in runs if (found := run.get("controls"))]
        below = _control_rows(controls, all_controls)
        quiet += range(len(rows), len(rows) + len(below))
        rows += [[*row, *blank] for row in below]
        best |= {(first + row, column + 2) for row, column in _best_cells([row[2:] for row in rows[first:]])}
        for name, runs in summaries.items():
            notes += losses(_beaten_in_mean(runs, controls), name)
    return Grid(heads, rows, quiet=frozenset(quiet), best=frozenset(best), notes=notes)


def _control_rows(controls: Sequence[Mapping[str, Any]], every: bool) -> list[list[str]]:
    """Name, number of runs and figures of controls: of every one, or of the best of each figure."""
    if not controls:
        return []
    if not every:
        return [["best control", str(len(controls)), *_best_control(controls)]]
    rows = []
    for name in dict.fromkeys(name for found in controls for name in found):
        figures = [found[name] for found in controls if name in found]
        rows.append([f"control: {CONTROLS.get(name, name)}", str(len(figures)), *_cells(figures)])
    return rows


def _best_control(controls: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures of the control that is best in each, its name in a second line."""
    cells = []
    for name in FIGURES:
        means = {
            control: value for control in _names(controls) if math.isfinite(value := _mean(controls, control, name))
        }
        winner = max(means, key=lambda control: means[control], default=None)
        values = [found.get(winner, {}).get(name) for found in controls] if winner else []
        cells.append(f"{mean_and_std(values, 3)}\n{CONTROLS.get(winner, winner)}" if winner else "-")
    return [*cells, *["-"] * len(COSTS)]


def _names(controls: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for found in controls for name in found))


def _mean(controls: Sequence[Mapping[str, Any]], control: str, figure: str) -> float:
    known = [found[control].get(figure) for found in controls if control in found]
    values = [value for value in known if value is not None and math.isfinite(value)]
    return fmean(values) if values else math.nan


def _beaten_in_mean(
    runs: Sequence[Mapping[str, Any]], controls: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    """As `beaten_by`, of means over runs."""
    model = {name: _mean([{"model": run} for run in runs], "model", name) for name in FIGURES}
    others = {control: {name: _mean(controls, control, name) for name in FIGURES} for control in _names(controls)}
    return beaten_by({**model, "controls": others})


def _best_cells(rows: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    """Row and column of the largest of each figure, as far as two rows have it; equal ones are all best."""
    best = set()
    for column in range(len(FIGURES)):
        shown = {place: float(row[column].split()[0]) for place, row in enumerate(rows) if row[column] != "-"}
        if len(shown) > 1:
            best |= {(place, column) for place, value in shown.items() if value == max(shown.values())}
    return best


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
