"""An offline W&B run of a real training holds all that comparing runs in the browser needs."""

import csv
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import wandb_log
import yaml
from commands import unchanged_process
from PIL import Image

from anomaly_diffusion.cli.main import main

SECRET = "f00d" * 10  # of the length that W&B expects
DEPTHS = [0.3, 1.0]
COMMAND = (
    *("train", "--config", "experiments/model/pixel.yaml", "--config", "experiments/data/textures.yaml"),
    *("--trainer.max_steps", "4", "--trainer.val_check_interval", "2", "--data.batch_size", "4"),
    *("--model.init_args.backbone.init_args.width", "8", "--wandb.tags", "[first]", "--experiment", "small"),
    *(f"--data.dataset.init_args.{part}={size}" for part, size in {"train": 8, "validation": 8, "test": 4}.items()),
    f"--model.init_args.reconstruction.init_args.depths={DEPTHS}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The run folder of a small training, closed as at the end of a process."""
    import wandb

    with unchanged_process():
        os.chdir(tmp_path_factory.mktemp("wandb"))
        os.environ["WANDB_API_KEY"] = SECRET
        with Path("said.txt").open("w") as said, redirect_stdout(said), redirect_stderr(said):
            assert main(list(COMMAND)) == 0
        wandb.teardown()  # its service writes on after the run, until the process ends
        yield Path("runs/small/001").resolve()


@pytest.fixture(scope="module")
def log(folder):
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    return wandb_log.read(path)


def media(folder, told):
    (files,) = folder.glob("wandb/offline-run-*/files")
    return files / told


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def table(folder, log, key):
    (told,) = log.all_of(key)
    content = json.loads(media(folder, told["path"]).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_it_is_found_again_by_its_name_group_tags_and_kind_of_work(folder, log):
    assert (log.run.display_name, log.run.run_group, log.run.job_type) == ("small/001", "small", "train")
    assert list(log.run.tags) == ["first"]
    assert log.run.run_id == (folder / "wandb/run_id").read_text()


def test_its_config_is_the_config_of_the_run_folder(folder, log):
    assert {key: value for key, value in log.config.items() if key != "_wandb"} == yaml.safe_load(
        (folder / "config.yaml").read_text()
    )


def test_its_figures_are_those_of_the_run_folder(folder, log):
    summary = json.loads((folder / "summary.json").read_text())
    assert log.all_of("test/pixel_ap") == [pytest.approx(summary["pixel_ap"], abs=1e-6)]
    assert len(log.all_of("val/pixel_ap")) == 2
    assert all("trainer/global_step" in step for step in log.history)


def test_it_has_a_row_of_figures_for_each_depth(folder, log):
    rows = table(folder, log, "depths")
    assert [row["depth"] for row in rows] == DEPTHS
    assert all(0 <= row["pixel_ap"] <= 1 and row["psnr"] > 0 for row in rows)


def test_a_key_in_the_environment_is_in_no_file_and_no_output(folder):
    files = [path for path in folder.parents[2].rglob("*") if path.is_file()]
    assert {"said.txt", "config.yaml"} <= {path.name for path in files}
    assert any("wandb" in path.parts for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_its_panels_have_the_true_and_the_found_defects_as_masks(folder, log):
    (panels,) = log.all_of("test/panels")
    assert panels["count"] == 4 == len(panels["all_masks"])
    for masks, picture, caption in zip(panels["all_masks"], panels["filenames"], panels["captions"], strict=True):
        drawn = {name: pixels(media(folder, mask["path"])) for name, mask in masks.items()}
        assert set(drawn) == {"truth", "found"}
        assert {mask.shape for mask in drawn.values()} == {pixels(media(folder, picture)).shape[:2]}
        assert drawn["truth"].any() == ("/good/" not in caption)


def test_its_table_of_images_is_per_image_csv(folder, log):
    with (folder / "per_image.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    rows = table(folder, log, "per_image")
    assert len(rows) == len(written) == 4
    for row, line in zip(rows, written, strict=True):
        assert row["score"] == pytest.approx(float(line["score"]), rel=1e-5)
