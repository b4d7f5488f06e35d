import io
import math

from rich.console import Console

from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.tables import markdown_table, summary_table

RUNS = [
    {"image_auroc": 0.8, "pixel_auroc": 0.9, "nfe": 3, "controls": {"brightness": {"image_auroc": 1.0}}},
    {"image_auroc": 0.9, "pixel_auroc": None, "nfe": 3, "controls": {"brightness": {"image_auroc": 1.0}}},
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|")]


def test_markdown_gives_mean_and_spread_over_runs():
    header, _, model, control = (cells(line) for line in markdown_table(RUNS).splitlines())
    row = dict(zip(header, model, strict=True))
    assert row["image AUROC"] == f"0.850 ± {math.sqrt(0.005):.3f}"
    assert row["NFE"] == "3"
    assert control[0] == "control: brightness /z/"
    assert dict(zip(header, control, strict=True))["image AUROC"] == "1.000 ± 0.000"


def test_unknown_figures_are_left_out_of_means_and_shown_as_a_dash():
    header, _, model, _ = (cells(line) for line in markdown_table(RUNS).splitlines())
    row = dict(zip(header, model, strict=True))
    assert row["pixel AUROC"] == "0.900"
    assert row["AUPRO"] == "-"


def test_groups_of_runs_each_keep_their_controls():
    rows = [cells(line)[0] for line in markdown_table({"a": RUNS[:1], "b": RUNS[1:]}).splitlines()[2:]]
    assert rows == ["**a**", "control: brightness /z/", "**b**", "control: brightness /z/"]


def test_groups_measured_on_the_same_images_share_their_controls():
    measured = (0.6, 0.6 + 1e-9, 0.7)
    left, again, right = ({"controls": {"blurred_self": {"image_auroc": value}}} for value in measured)
    table = markdown_table({"a": [left], "b": [right], "c": [again]}).splitlines()[2:]
    control = "control: blurred self"
    assert [cells(line)[0] for line in table] == ["**a**", "**c**", control, "**b**", control]
    assert [cells(line)[1] for line in table] == ["1", "1", "2", "1", "1"]


def test_the_terminal_table_shows_the_controls_beside_the_model():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(RUNS[0], "test"))
    text = console.export_text()
    model, control = (next(line for line in text.splitlines() if name in line) for name in ("model", "brightness |z|"))
    assert "0.800" in model
    assert "1.000" in control


def test_every_figure_has_its_column():
    headers = cells(markdown_table(RUNS).splitlines()[0])
    assert set(FIGURES.values()) < set(headers)
