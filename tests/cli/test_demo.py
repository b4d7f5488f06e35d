import json
import shutil
from pathlib import Path

import pytest
from blank_pictures import blank_pictures
from commands import unchanged_process

from anomaly_diffusion.cli import compare
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing import arguments, lightning_cli

# The demo with smaller frames, fewer photographs to validate on and fewer steps: half a minute on one core.
FLOOR = (
    *("--data.image_size=[48,48]", "--data.dataset.init_args.validation=24", "--seed_everything=0"),
    *("--trainer.max_steps=200", "--trainer.val_check_interval=200"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs of the demo's model on the demo's data, the second a copy of the first."""
    folder = tmp_path_factory.mktemp("demo")
    demo = ("--config", "model/pixel.yaml", "--config", "demo.yaml", "--experiment", "demo-brick")
    with unchanged_process(), pytest.MonkeyPatch.context() as patch:
        blank_pictures(patch.setattr)
        assert main(["train", *demo, *FLOOR, "--runs_dir", str(folder)]) == 0
    shutil.copytree(folder / "demo-brick/001", folder / "demo-brick/002")
    return folder / "demo-brick"


def test_the_model_of_the_demo_finds_more_than_every_control(runs):
    """Of three seeds, image AUROC was .06 to .14 above the best control, and pixel AP at least 9.5 times as high."""
    summary = json.loads((runs / "001/summary.json").read_text())
    controls = summary["controls"].values()
    assert summary["image_auroc"] > max(control["image_auroc"] for control in controls) + 0.08
    maps = [control["pixel_ap"] for control in controls if control.get("pixel_ap") is not None]
    assert len(maps) == 2
    assert summary["pixel_ap"] > 2 * max(maps)


def test_the_demo_trains_that_model_on_a_texture(monkeypatch):
    asked = []
    monkeypatch.setattr(lightning_cli, "main", lambda request: 0)
    monkeypatch.setattr(arguments, "prepare", lambda verb, words, tell: asked.extend([verb, *words]))
    assert main(["demo", "--steps", "2", "--texture", "gravel", "--seed", "3"]) == 0
    assert asked[:5] == ["train", "--config", "model/pixel.yaml", "--config", "demo.yaml"]
    options = dict(zip(asked[5::2], asked[6::2], strict=True))
    assert options == {
        "--seed_everything": "3",
        "--runs_dir": "runs",
        "--data.dataset.init_args.texture": "gravel",
        "--experiment": "demo-gravel",
        "--trainer.max_steps": "2",
        "--trainer.val_check_interval": "2",
    }


FILES = ["config.yaml", "split.json", "metrics.csv", "per_image.csv", "progress.png", "panels/test.png", "wandb"]
FIGURES = [
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "aupro",
    "aupro_05",
    "aupimo",
]
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
    assert "**demo-brick**" in table
    auroc = json.loads((runs / "001/summary.json").read_text())["pixel_auroc"]
    assert f"{auroc:.3f} ± 0.000" in table
    assert (tmp_path / "table.md").read_text().strip() == table.strip()


def test_comparing_by_size_tells_small_defects_from_large_ones(runs, capsys):
    assert compare.main([str(runs), "--by_size"]) == 0
    heads, _, row = capsys.readouterr().out.strip().splitlines()[-3:]
    assert "smallest 1/3" in heads
    assert "**demo-brick**" in row
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
