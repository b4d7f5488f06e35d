"""Tiles from end to end: trained on crops, judged whole, the same by `predict` and by the inspector."""

import csv
import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from commands import unchanged_process

from anomaly_diffusion.api import train
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy import inspector as inspecting
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.runs import image_results
from anomaly_diffusion.types import Tiling

SMALL = {
    "model.init_args.backbone.init_args.width": 8,
    "trainer.max_steps": 2,
    "trainer.val_check_interval": 2,
    "data.batch_size": 4,
    "data.dataset.init_args.train": 8,
    "data.dataset.init_args.validation": 6,
    "data.dataset.init_args.test": 6,
    "panels.count": 1,
    "failures.worst": 1,
}


def trained(folder, name, **settings):
    with unchanged_process():
        where = {"runs_dir": folder / "runs", "experiment": name}
        return train("model/pixel.yaml", str(folder / "plain.yaml"), settings=SMALL | settings | where)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of several sizes, the second with a white bar, and settings that learn nothing by position."""
    folder = tmp_path_factory.mktemp("tiled")
    (folder / "plain.yaml").write_text(
        "model: {init_args: {scoring: {init_args: {calibration_sigma: null, residuals: [L1Residual, SSIMResidual]}}}}"
    )
    from skimage import data

    (folder / "photographs").mkdir()
    for number, (height, width) in enumerate([(64, 64), (150, 90), (40, 200)]):
        pixels = data.brick()[40 * number : 40 * number + height, 90 : 90 + width].copy()
        if number == 1:
            pixels[100:110, 10:70] = 255
        cv2.imwrite(str(folder / f"photographs/{number}.png"), pixels)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    words = {"data.tiles": "{size: [32, 32], overlap: 16}", "metrics.size": "original"}
    return trained(folder, "tiles", **words)


def test_a_run_is_measured_on_whole_photographs(run):
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["pixels"]["size"] == "original"
    assert summary["validation"]["pixels"]["size"] == [64, 64]  # of Textures, painted at full size
    assert "mean_image" in summary["controls"]
    assert 0 <= summary["pixel_ap"] <= 1
    assert summary["verdicts"]["normals"] == 6


def test_the_inspector_says_what_predict_says_of_photographs_of_any_size(folder, run, monkeypatch):
    words = ["--run_folder", str(run.folder), "--data.dataset", "Images"]
    words += ["--data.dataset.root", str(folder / "photographs")]
    with unchanged_process():
        assert main(["predict", *words, "--wandb.mode", "disabled", "--panels.masks", "true"]) == 0
    told = {result.path: result for result in image_results.read(run.folder / "evaluations/001/predictions.csv")}
    shown = []
    monkeypatch.setattr(inspecting, "shown", lambda steps, total, task: shown.append(task) or steps)
    inspector = Inspector(run.folder)
    paths = sorted((folder / "photographs").iterdir())
    for path, found in zip(paths, inspector(paths), strict=True):
        assert (found.name, found.score) == (path.name, told[path.name].score)
        assert replace(found.verdict, regions=()) == replace(told[path.name].verdict, regions=())
        assert found.map.shape == cv2.imread(str(path)).shape[:2]
    row, column = np.unravel_index(inspector(paths[1]).map.argmax(), (150, 90))
    assert 90 <= row < 120
    assert column < 80
    assert set(shown) == {"Judging tiles"}


def test_a_detection_limit_is_that_of_photographs_at_their_own_size(run, monkeypatch):
    seen, unseen = [], Detector.unseen
    monkeypatch.setattr(Detector, "unseen", lambda self, batch: seen.append(batch) or unseen(self, batch))
    words = ["--families", "pit", "--widths", "0.1", "--contrasts", "5", "--defects", "60"]
    with unchanged_process():
        assert main(["detection_limit", "--run_folder", str(run.folder), *words]) == 0
    assert {(tuple(batch.image.shape[-2:]), batch.tiles) for batch in seen} == {((64, 64), Tiling(32, 32, 16))}


def test_photographs_of_a_tiles_size_are_trained_and_judged_as_without_tiles(folder):
    words = {"data.image_size": [64, 64], "data.augmentation.crop": None, "data.batch_size": 1}  # sums round alike
    plain = trained(folder, "plain", **words)
    tiled = trained(folder, "same", **words, **{"data.tiles": "{size: [64, 64], overlap: 16}"})
    for name in ("per_image.csv", "painted.csv"):
        one, other = (_judged((run.folder / name).read_text()) for run in (plain, tiled))
        assert one == other


def _judged(table):
    """Its lines but for what takes time."""
    return [line | {"seconds": None} for line in csv.DictReader(io.StringIO(table))]


def test_other_tiles_than_those_of_the_calibration_are_said(folder, run, capsys):
    words = ["--run_folder", str(run.folder), "--data.dataset", "Images"]
    words += ["--data.dataset.root", str(folder / "photographs")]
    with unchanged_process():
        status = main(["predict", *words, "--wandb.mode", "disabled", "--data.tiles.overlap", "0"])
    told = "in tiles that overlap by 16, at scale 1, but `data.tiles` is 32 x 32 pixels, in tiles that overlap by 0"
    assert status != 0
    assert told in capsys.readouterr().err
