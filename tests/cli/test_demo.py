import csv
import json
import os
from pathlib import Path

import pytest
import torch

from anomaly_diffusion.cli import compare
from anomaly_diffusion.cli.main import main

DEMO = ("demo", "--steps", "2", "--texture", "gravel")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs of one and the same demo."""
    folder = tmp_path_factory.mktemp("demo")
    before = dict(os.environ)
    for _ in range(2):
        assert main([*DEMO, "--runs_dir", str(folder)]) == 0
    os.environ.clear()
    os.environ.update(before)
    torch.use_deterministic_algorithms(False)
    return folder / "demo-gravel"


def weights(run):
    return torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]


def scores(run):
    return [row["score"] for row in csv.DictReader((run / "per_image.csv").read_text().splitlines())]


def test_the_same_demo_twice_gives_the_same_bits(runs):
    first, second = runs / "001", runs / "002"
    for name, weight in weights(first).items():
        torch.testing.assert_close(weights(second)[name], weight, rtol=0, atol=0, equal_nan=True)
    assert scores(first) == scores(second)


FILES = ["config.yaml", "split.json", "metrics.csv", "per_image.csv", "progress.png", "panels/test.png", "wandb"]
FIGURES = ["image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro", "aupro_05"]
COSTS = ["nfe", "seconds_per_image", "train_seconds", "peak_memory_mb", "parameters", "seed"]


def test_a_run_folder_holds_everything_about_its_run(runs):
    names = {path.relative_to(runs / "001").as_posix() for path in (runs / "001").rglob("*")}
    assert names >= {*FILES, "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    summary = json.loads((runs / "001/summary.json").read_text())
    assert summary.keys() >= {*FIGURES, *COSTS}
    assert set(summary["controls"]) >= {"blurred_self", "mean_image", "brightness", "contrast", "sharpness"}


def test_comparing_runs_gives_one_row_per_experiment_with_the_spread_of_its_seeds(runs, capsys, tmp_path):
    assert compare.main([str(runs), "--output", str(tmp_path / "table.md")]) == 0
    table = capsys.readouterr().out
    assert "**demo-gravel**" in table
    auroc = json.loads((runs / "001/summary.json").read_text())["pixel_auroc"]
    assert f"{auroc:.3f} ± 0.000" in table
    assert (tmp_path / "table.md").read_text().strip() == table.strip()


def test_comparing_by_size_tells_small_defects_from_large_ones(runs, capsys):
    assert compare.main([str(runs), "--by_size"]) == 0
    heads, _, row = capsys.readouterr().out.strip().splitlines()[-3:]
    assert "smallest 1/3" in heads
    assert "**demo-gravel**" in row
    largest = [float(cell.split("up to ")[1].split("%")[0]) for cell in row.split("|") if "up to" in cell]
    assert largest == sorted(largest)
    assert len(largest) == 3


def test_comparing_what_is_no_run_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected .*summary\.json"):
        compare.main([str(tmp_path)])


def test_a_demo_of_no_steps_is_refused(tmp_path, capsys):
    assert main(["demo", "--steps", "0", "--runs_dir", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == "error: `--steps` must be at least 1, got 0.\n"
    assert not (tmp_path / "runs").exists()
