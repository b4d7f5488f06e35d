"""The controls go through the command line like every other detector: train, test again, predict, go on."""

from pathlib import Path

import pytest
import torch
import yaml
from blank_pictures import blank_pictures
from commands import figures, unchanged_process

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import experiments_folder

FINE = {"class_path": "analytic.TinyFeatures", "init_args": {"stride": 2, "neighbourhood": 1, "repeat": True}}
TINY = {"class_path": "analytic.TinyFeatures"}
CONTROLS = {
    "padim": {"features": FINE, "channels": 6},
    "patchcore": {"features": TINY, "memory": {"share": 0.1, "at_most": None, "candidates": None}},
    "gaussian_by_position": {"features": TINY, "components": 6},
    "nearest_patch": {"features": TINY, "components": 6},
}
DATA = {
    "dataset": {"class_path": "Textures", "init_args": {"train": 12, "validation": 8, "test": 4}},
    "image_size": [32, 32],
}


@pytest.fixture(
    params=["patchcore", *(pytest.param(name, marks=pytest.mark.soak) for name in CONTROLS if name != "patchcore")]
)
def control(request, tmp_path, monkeypatch):
    """The command line and the shipped experiment of a control, with a tiny network in place of the real one."""
    monkeypatch.chdir(tmp_path)
    blank_pictures(monkeypatch.setattr)
    config = yaml.safe_load((experiments_folder() / f"model/{request.param}.yaml").read_text())
    config["model"]["init_args"] |= CONTROLS[request.param]
    settings = {"data": DATA, "wandb": {"mode": "disabled"}}
    Path("tiny.yaml").write_text(yaml.safe_dump(config | settings))
    with unchanged_process():
        yield lambda *arguments: main(list(arguments))


@pytest.mark.slow
def test_a_run_can_be_tested_again_or_with_another_scoring_predicted_from_and_resumed(control):
    assert control("train", "--config", "tiny.yaml") == 0
    run = Path("runs/tiny/001")
    assert (run / "panels/test.png").is_file()
    assert not (run / "panels/trajectories.png").exists()  # no network is asked anything
    weights = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert weights["global_step"] > 0

    assert control("test", "--run_folder", str(run)) == 0
    assert figures(run / "evaluations/001") == figures(run)
    assert control("test", "--run_folder", str(run), "--model.init_args.scoring.smoothing", "1") == 0
    assert figures(run / "evaluations/002")[1] != figures(run)[1]
    assert control("predict", "--run_folder", str(run)) == 0
    assert (run / "evaluations/003/predictions.csv").is_file()
    assert control("fit", "--resume", str(run)) == 0
    after = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert after["state_dict"].keys() == weights["state_dict"].keys()
    assert all(torch.equal(after["state_dict"][name], value) for name, value in weights["state_dict"].items())
