"""`compare --chart` on run folders made by hand."""

import json

import cv2
import pytest
import yaml

from anomaly_diffusion.cli.main import main

WHERE = {"tile": ("MVTecAD", {"root": "x", "category": "tile"}), "photographs": ("Folder", {"root": "a/photographs"})}


def make_run(folder, seconds=0.1, figure=0.5, data="tile"):
    name, settings = WHERE[data]
    control = {"blurred_self": {"pixel_ap": 0.1}}
    dataset = {"class_path": f"anomaly_diffusion.{name}", "init_args": settings}
    folder.mkdir(parents=True)
    config = {"data": {"dataset": dataset, "image_size": [64, 32]}}
    summary = {"test_set": data, "pixel_ap": figure, "aupro": None, "seconds_per_image": seconds, "controls": control}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture
def runs(tmp_path):
    make_run(tmp_path / "pixel/0", 0.1, 0.5)
    make_run(tmp_path / "pixel/1", 0.2, 0.6)
    make_run(tmp_path / "pixel/1/evaluations/guided-001", 0.4, 0.4)
    make_run(tmp_path / "other/0", 0.1, 0.5, "photographs")
    make_run(tmp_path / "untimed/0", None, 0.5)
    return tmp_path


def test_one_command_draws_every_group_that_has_a_cost(runs, capsys):
    folders = [str(runs / name) for name in ("pixel", "pixel/1/evaluations", "other", "untimed")]
    assert main(["compare", *folders]) == 0
    table = capsys.readouterr().out
    assert main(["compare", *folders, "--chart", str(runs / "new/cost.png")]) == 0
    said = capsys.readouterr()
    assert said.out == table
    assert said.err.splitlines() == [f"left out of {runs / 'new/cost.png'}: untimed (no seconds per image)"]
    picture = cv2.imread(str(runs / "new/cost.png"))
    assert picture.shape[1] > picture.shape[0] > 300


def test_each_panel_is_called_by_its_data_set(runs, monkeypatch):
    from anomaly_diffusion.figures import cost_chart

    seen = []
    monkeypatch.setattr(cost_chart, "chart", lambda panels, figure, ending: seen.append((panels, figure)) or b"")
    folders = [str(runs / name) for name in ("pixel", "pixel/1/evaluations", "other")]
    assert main(["compare", *folders, "--chart", str(runs / "cost.png")]) == 0
    ((panels, figure),) = seen
    assert figure == "pixel AP"
    assert [panel.title for panel in panels] == ["tile, 64 x 32", "photographs, 64 x 32"]
    assert [[point.name for point in panel.points] for panel in panels] == [["pixel", "pixel: guided"], ["other"]]


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--chart", "cost.png", "--figure", "pixel_app"), 2, ["image_auroc", "aupro_05", "Did you mean `pixel_ap`"]),
        (("--chart", "cost.jpg"), 2, ["`chart`", ".png, .pdf, .svg"]),
        (("--detection_chart", "cost"), 2, ["`detection_chart`", ".png, .pdf, .svg"]),
        (("--figure", "aupro"), 2, ["`figure`", "--chart"]),
        (("--chart", "cost.png", "--figure", "aupro"), 1, ["no AUPRO"]),
    ],
)
def test_what_cannot_be_drawn_is_said_and_nothing_written(runs, capsys, monkeypatch, options, status, words):
    monkeypatch.chdir(runs)
    assert main(["compare", "pixel", *options]) == status
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert not list(runs.glob("cost.*"))


@pytest.mark.parametrize(("ending", "begins", "holds"), [("pdf", b"%PDF", b"/FontFile2"), ("SVG", b"<?xml", b"<path")])
def test_a_chart_for_a_paper_is_lines_and_holds_its_fonts(runs, ending, begins, holds):
    path = runs / f"cost.{ending}"
    for _ in range(2):
        before = path.read_bytes() if path.exists() else b""
        assert main(["compare", str(runs / "pixel"), "--chart", str(path)]) == 0
    assert path.read_bytes() == before
    assert before.startswith(begins)
    assert holds in before
    assert b"<image" not in before
    assert b"/Subtype /Image" not in before


def test_the_table_of_a_paper_has_the_figures_of_the_terminal(runs, capsys):
    assert main(["compare", str(runs / "pixel"), str(runs / "other"), "--latex", str(runs / "table.tex")]) == 0
    printed, written = capsys.readouterr().out, (runs / "table.tex").read_text()
    assert printed.startswith("|")
    assert "0.550 ± 0.071" in printed
    assert "0.550 $\\pm$ 0.071" in written
    assert main(["compare", str(runs / "pixel"), str(runs / "other"), "--latex"]) == 0
    assert capsys.readouterr().out == written + "\n"


def test_what_pairing_finds_stands_beside_the_table_as_comments(runs, capsys):
    results = "path,label,kind,score\na,0,good,0\nb,1,dent,1\n"
    for run in ("pixel/0", "pixel/1"):
        (runs / run / "per_image.csv").write_text(results)
    assert main(["compare", str(runs / "pixel"), "--group-by", "experiment", "--latex", "-"]) == 0
    printed = capsys.readouterr().out
    assert all(line[:1] in "%\\" or "&" in line for line in printed.splitlines() if line)
