"""CLIP through the command line: train, test again."""

import os
from pathlib import Path

import pytest
import torch
import yaml
from commands import figures, unchanged_process

from anomaly_diffusion.baselines.tiny_clip import write_tiny_clip
from anomaly_diffusion.cli.main import main

pytest.importorskip("transformers", reason="the extra `baselines` is not installed")
SMALL = {
    "data": {"dataset": {"class_path": "Textures", "init_args": {"train": 8, "validation": 4, "test": 4}}},
    "wandb": {"mode": "disabled"},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command line, in a folder with a tiny CLIP below that of weights."""
    monkeypatch.chdir(tmp_path)
    write_tiny_clip(tmp_path / "weights/openai/clip-vit-base-patch16")
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))
    with unchanged_process():
        os.environ["ANOMALY_DIFFUSION_WEIGHTS"] = str(tmp_path / "weights")
        yield lambda *arguments: main(list(arguments))


@pytest.mark.soak
def test_a_run_can_be_tested_again(run):
    options = ("--data.image_size", "[48, 48]", "--model.init_args.prompts.object_name", "brick")
    assert run("train", "--config", "baselines/clip_few_shot.yaml", "--config", "small.yaml", *options) == 0
    (folder,) = Path("runs").glob("*/001")
    assert "brick" in (folder / "config.yaml").read_text()
    weights = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert not [key for key in weights if "network" in key]
    assert run("test", "--run_folder", str(folder)) == 0
    assert figures(folder / "evaluations/001") == figures(folder)


def test_an_absent_clip_is_a_message_and_no_traceback(run, capsys):
    assert run("train", "--config", "baselines/clip.yaml", "--model.init_args.network.name", "nobody/no-clip") == 1
    assert "hf download nobody/no-clip" in capsys.readouterr().err.splitlines()[0]
