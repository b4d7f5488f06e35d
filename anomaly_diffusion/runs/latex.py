"""Tables of results for a paper: LaTeX with booktabs, of the same grids as those for the terminal."""

import re
from collections.abc import Sequence

from anomaly_diffusion.runs.tables import Grid

__all__ = ["escaped", "latex_table"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl needs another font encoding than the default
    "[": "{[}",  # behind a line break it would begin an option
    "*": "{*}",
    "±": r"$\pm$",
    "…": r"\ldots{}",
}
_MARKS = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex_table(grid: Grid) -> str:
    r"""The table as booktabs draws it: columns that no row fills are left out, the best of each column is bold.

    It stands in a document as it is, by \input, behind \usepackage{booktabs}; rows for comparison only have a rule of
    their own above them; what follows a line break in a cell stands below it in a smaller size; notes follow the table.
    """
    filled = [0, *(column for column in range(1, len(grid.heads)) if any(row[column] != "-" for row in grid.rows))]
    lines = ["% needs \\usepackage{booktabs}", rf"\begin{{tabular}}{{l{'r' * (len(filled) - 1)}}}", r"\toprule"]
    lines += [" & ".join(escaped(grid.heads[column]) for column in filled) + r" \\", r"\midrule"]
    for place, row in enumerate(grid.rows):
        if place in grid.quiet and place - 1 not in grid.quiet:
            lines.append(r"\midrule")
        elif place and place not in grid.quiet and place - 1 in grid.quiet:
            lines.append(r"\midrule[\heavyrulewidth]")
        lines.append(" & ".join(_cell(row[column], (place, column) in grid.best) for column in filled) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *_notes(grid.notes)]
    return "".join(f"{line}\n" for line in lines)


def escaped(text: str) -> str:
    """A text that LaTeX takes for nothing but text, on one line."""
    return _MARKS.sub(lambda mark: _SPECIAL[mark[0]], " ".join(text.split()))


def _cell(text: str, best: bool) -> str:
    figure, _, below = text.partition("\n")
    shown = "--" if figure == "-" else escaped(figure)
    shown = rf"\textbf{{{shown}}}" if best else shown
    small = rf"{{\scriptsize {escaped(below)}}}"
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{shown}\\{small}\end{{tabular}}" if below else shown


def _notes(notes: Sequence[str]) -> list[str]:
    return [rf"\par\smallskip{{\footnotesize {escaped(note)}.\par}}" for note in notes]
