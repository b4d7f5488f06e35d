"""Tables for a paper: nothing in a name can break them, and a real LaTeX reads them where there is one."""

import re
import shutil
import subprocess

import pytest

from anomaly_diffusion.runs.latex import escaped, latex_table
from anomaly_diffusion.runs.tables import Grid

NASTY = r"""50 % & $x_1$ {a} #1 ~ ^ \ <b> | "q" [2pt] * ± …"""
GRID = Grid(
    ["", "runs", "pixel AP", "NFE"],
    [
        [NASTY, "3", "0.900 ± 0.012", "-"],
        ["[b]", "1", "0.800", "-"],
        ["best control", "3", "0.100\nmean_image", "-"],
        ["c", "1", "-", "-"],
    ],
    quiet=frozenset({2}),
    best=frozenset({(0, 2)}),
    notes=[f"the mean image beats {NASTY}"],
)


def test_every_figure_of_the_grid_is_in_the_table_and_an_empty_column_is_not():
    written = latex_table(GRID)
    assert r"\textbf{0.900 $\pm$ 0.012}" in written
    assert written.count(r"\textbf") == 1
    assert "{[}b] & 1 & 0.800 \\\\" in written
    assert r"0.100\\{\scriptsize mean\_image}" in written
    assert "c & 1 & -- \\\\" in written
    assert "NFE" not in written
    assert written.count(r"\midrule") == 3


def test_no_character_keeps_a_meaning_of_its_own():
    plain = re.sub(r"\\[a-z]+(\{\})?|\\[{}$&#%_]|\$\\pm\$|\{\[\}|\{\*\}", "", escaped(NASTY))
    assert not re.search(r"[\\{}$&#%_~^<>|\"\[*±…]", plain)
    assert escaped("two\nlines") == "two lines"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive-latex-recommended")
def test_a_document_with_the_table_compiles_without_a_warning(tmp_path):
    (tmp_path / "table.tex").write_text(latex_table(GRID))
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{table}\\end{document}"
    (tmp_path / "paper.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "LaTeX Warning" not in done.stdout.replace("There were undefined", "")
