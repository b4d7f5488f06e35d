import io
import math

import pytest
from rich.console import Console
from run_folders import written

from anomaly_diffusion import files
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.tables import Grid, plain, results_grid, summary_table

RUNS = [
    {"image_auroc": 0.8, "pixel_auroc": 0.9, "nfe": 3, "controls": {"brightness": {"image_auroc": 1.0}}},
    {"image_auroc": 0.9, "pixel_auroc": None, "nfe": 3, "controls": {"brightness": {"image_auroc": 1.0}}},
]


def cells(line):
    return [cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|")]


@pytest.fixture
def runs(tmp_path):
    return [written(tmp_path / str(place), summary) for place, summary in enumerate(RUNS)]


def lines(groups):
    return [cells(line) for line in results_grid(groups).markdown().splitlines()]


def test_markdown_gives_mean_and_std_over_runs(runs):
    header, _, model, control = lines({"model": runs})
    row = dict(zip(header, model, strict=True))
    assert row["image AUROC"] == f"0.850 ± {math.sqrt(0.005):.3f}"
    assert row["NFE"] == "3"
    assert (model[0], control[0]) == ("**model**", "control: brightness /z/")
    assert dict(zip(header, control, strict=True))["image AUROC"] == "1.000 ± 0.000"


def test_unknown_figures_are_left_out_of_means_and_shown_as_a_dash(runs):
    header, _, model, _ = lines({"model": runs})
    row = dict(zip(header, model, strict=True))
    assert row["pixel AUROC"] == "0.900"
    assert row["AUPRO"] == "-"
    assert set(FIGURES.values()) < set(header)


def test_groups_of_runs_of_unknown_test_sets_each_keep_their_controls(runs):
    rows = [row[0] for row in lines({"a": runs[:1], "b": runs[1:]})[2:]]
    assert rows == ["**a**", "control: brightness /z/", "**b**", "control: brightness /z/"]


def test_groups_measured_on_the_same_images_share_their_controls(tmp_path):
    def run(name, test_set, size, images=("b", "a")):
        summary = {"controls": {"blurred_self": {"image_auroc": 0.6}}} | ({"test_set": test_set} if test_set else {})
        table = "path,label,score\n" + "".join(f"{path},0,1\n" for path in images)
        return [written(tmp_path / name, summary, {"data": {"image_size": size}}, per_image=table)]

    noted, other = files.names_hash(["a", "b"]), files.names_hash(["a", "c"])
    groups = {"a": run("a", noted, [64, 64]), "b": run("b", other, [64, 64]), "c": run("c", None, [64, 64])}
    groups |= {"d": run("d", noted, [32, 32]), "e": run("e", None, [64, 64], "ac")}
    control = "control: blurred self"
    found = [(row[0], row[1]) for row in lines(groups)[2:]]
    assert found == [
        *(("**a**", "1"), ("**c**", "1"), (control, "2")),  # older runs have not noted it: their images tell
        *(("**b**", "1"), ("**e**", "1"), (control, "2")),
        *(("**d**", "1"), (control, "1")),  # the same images at another size
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("pixel_tile, seed 3", "pixel_tile, seed 3"),
        ("_a_ __b__", r"\_a\_ \_\_b\_\_"),
        ("a | b\n*c*", r"a \| b \*c\*"),
        ("<b> & [x](y)", r"&lt;b&gt; &amp; \[x\](y)"),
    ],
)
def test_cells_are_nothing_but_text(text, written):
    assert plain(text) == written
    assert Grid(["", "x"], [[text, text]]).markdown().splitlines()[2] == f"| **{written}** | {written} |"


def test_the_terminal_table_shows_the_controls_beside_the_model():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(RUNS[0], "test"))
    text = console.export_text()
    model, control = (next(line for line in text.splitlines() if name in line) for name in ("model", "brightness |z|"))
    assert "0.800" in model
    assert "1.000" in control
