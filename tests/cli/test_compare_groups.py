"""`compare --group-by` on run folders made by hand."""

import csv
import json

import pytest
import yaml

from anomaly_diffusion.cli.main import main

GOOD, POOR = {"a": 0.0, "b": 1.0, "c": 2.0, "d": 3.0}, {"a": 0.0, "b": 2.5, "c": 2.0, "d": 3.0}


def make_run(folder, noise, scores, seed=0):
    folder.mkdir(parents=True)
    noise = {"class_path": f"anomaly_diffusion.{noise}", "init_args": {"octaves": 2}}
    config = {"seed_everything": seed, "model": {"init_args": {"noise": noise}}, "data": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "summary.json").write_text(json.dumps({"pixel_ap": 0.5, "train_seconds": 60, "controls": {}}))
    lines = ["path,label,kind,score", *(f"{path},{int(path > 'b')},x,{score}" for path, score in scores.items())]
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def runs(tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"white/seed{seed}", "GaussianNoise", GOOD, seed)
        make_run(tmp_path / f"simplex/seed{seed}", "SimplexNoise", POOR, seed)
    return tmp_path


def compare(runs, *options):
    return main(["compare", str(runs / "white"), str(runs / "simplex"), *options])


def test_runs_are_grouped_by_a_setting_and_paired_by_run_and_image(runs, capsys):
    assert compare(runs, "--group-by", "model.init_args.noise") == 0
    printed = capsys.readouterr().out
    assert "| **GaussianNoise** | 2 |" in printed
    assert "| **SimplexNoise** | 2 | -0.250 |" in printed  # one of four pairs of images is lost
    assert "SimplexNoise judges worse: c (-0.50), b (-0.50)" in printed
    assert "SimplexNoise judges better: none" in printed


def test_the_baseline_can_be_chosen(runs, capsys):
    assert compare(runs, "--group-by", "model.init_args.noise", "--baseline", "SimplexNoise") == 0
    assert "| **GaussianNoise** | 2 | +0.250 |" in capsys.readouterr().out


def test_settings_can_be_combined(runs, capsys):
    assert compare(runs, "--group-by", "experiment", "model.init_args.noise") == 0
    assert "**simplex, SimplexNoise**" in capsys.readouterr().out


def test_figures_go_to_a_csv_file_with_a_row_for_each_run(runs, capsys):
    assert compare(runs, "--csv", str(runs / "all.csv")) == 0
    rows = list(csv.DictReader((runs / "all.csv").read_text().splitlines()))
    assert [row["group"] for row in rows] == ["white", "white", "simplex", "simplex"]
    assert {row["pixel_ap"] for row in rows} == {"0.5"}
    assert {row["aupro"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--group-by", "model.init_args.nose"), "Did you mean `model.init_args.noise`?"),
        (("--group-by", "experiment", "--baseline", "whit"), "`baseline` must be one of white, simplex, got 'whit'"),
        (("--group-by", "model.init_args.noise.init_args.octaves"), "Group 2 has two runs called seed0"),
    ],
)
def test_a_mistake_is_told(runs, capsys, options, told):
    assert compare(runs, *options) != 0
    assert told in capsys.readouterr().err


def test_groups_of_different_images_are_not_paired(runs, capsys):
    (runs / "simplex/seed0/per_image.csv").write_text("path,label,kind,score\nz,1,x,1\nb,0,x,0\n")
    assert compare(runs, "--group-by", "experiment") != 0
    assert "simplex and white cannot be paired: Runs have different test images" in capsys.readouterr().err
