import io
import math

import pytest
from rich.console import Console
from run_folders import written

from anomaly_diffusion import files
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.tables import Grid, beaten_by, losses, plain, results_grid, summary_table

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
    return [cells(line) for line in results_grid(groups).markdown().splitlines() if line.startswith("|")]


def test_markdown_gives_mean_and_std_over_runs(runs):
    header, _, model, control = lines({"model": runs})
    row = dict(zip(header, model, strict=True))
    assert row["image AUROC"] == f"0.850 ± {math.sqrt(0.005):.3f}"
    assert row["NFE"] == "3"
    assert (model[0], control[0]) == ("**model**", "best control")
    assert dict(zip(header, control, strict=True))["image AUROC"] == "**1.000 ± 0.000 brightness /z/**"


def test_unknown_figures_are_left_out_of_means_and_shown_as_a_dash(runs):
    header, _, model, _ = lines({"model": runs})
    row = dict(zip(header, model, strict=True))
    assert row["pixel AUROC"] == "0.900"
    assert row["AUPRO"] == "-"
    assert set(FIGURES.values()) < set(header)


def test_groups_of_runs_of_unknown_test_sets_each_keep_their_controls(runs):
    rows = [row[0] for row in lines({"a": runs[:1], "b": runs[1:]})[2:]]
    assert rows == ["**a**", "best control", "**b**", "best control"]


def test_groups_measured_on_the_same_images_share_their_controls(tmp_path):
    def run(name, test_set, size, images=("b", "a")):
        summary = {"controls": {"blurred_self": {"image_auroc": 0.6}}} | ({"test_set": test_set} if test_set else {})
        table = "path,label,score\n" + "".join(f"{path},0,1\n" for path in images)
        return [written(tmp_path / name, summary, {"data": {"image_size": size}}, per_image=table)]

    noted, other = files.names_hash(["a", "b"]), files.names_hash(["a", "c"])
    groups = {"a": run("a", noted, [64, 64]), "b": run("b", other, [64, 64]), "c": run("c", None, [64, 64])}
    groups |= {"d": run("d", noted, [32, 32]), "e": run("e", None, [64, 64], "ac")}
    control = "best control"
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


def printed(summary, **options):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_table(summary, "test", **options))
    return console.export_text(styles=True)


CONTROLS = {"mean_image": {"image_auroc": 0.7, "pixel_ap": 0.4}, "brightness": {"image_auroc": 0.9}}
BEATEN = {"image_auroc": 0.8, "pixel_ap": 0.3, "pixel_auroc": 0.9, "controls": CONTROLS}


def test_the_terminal_table_shows_the_best_control_of_each_figure_and_all_on_request():
    best, every = printed(BEATEN), printed(BEATEN, all_controls=True)
    assert "best control" in best
    assert "mean image" not in best
    assert ("0.900" in best, "0.400" in best, "0.700" in best) == (True, True, False)
    assert "best control" not in every
    assert all(word in every for word in ("mean image", "brightness |z|", "0.700"))


def test_the_best_of_each_column_is_bold():
    winner = next(line for line in printed(BEATEN).splitlines() if "best control" in line)
    loser = next(line for line in printed(BEATEN).splitlines() if "model" in line)
    assert winner.count("\x1b[1m") == 2
    assert "\x1b[1m" not in loser  # pixel AUROC has no rival


def test_losing_to_a_control_is_said_with_its_name_and_margin():
    beaten = beaten_by(BEATEN)
    assert beaten == {"mean_image": {"pixel_ap": pytest.approx(0.1)}, "brightness": {"image_auroc": pytest.approx(0.1)}}
    assert losses(beaten) == [
        "the brightness |z| beats this model in image AUROC (by 0.100)",
        "the mean image beats this model in pixel AP (by 0.100)",
    ]
    assert beaten_by({**BEATEN, "image_auroc": 0.9, "pixel_ap": None}) == {}  # equal, and unknown


def test_of_several_controls_that_are_better_the_best_is_named():
    beaten = {"blurred_self": {"pixel_ap": 0.1}, "mean_image": {"pixel_ap": 0.3}}
    assert losses(beaten, "x") == ["the mean image beats x in pixel AP (by 0.300)"]


def test_tables_of_several_runs_say_so_below_and_show_all_controls_on_request(tmp_path):
    groups = {"model": [written(tmp_path / "run", BEATEN)]}
    assert "the mean image beats model in pixel AP (by 0.100)" in results_grid(groups).markdown()
    every = results_grid(groups, all_controls=True).markdown()
    assert "control: mean image" in every
    assert "best control" not in every
