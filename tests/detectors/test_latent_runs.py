"""From nothing to latent diffusion on the command line: an autoencoder, its floor, diffusion on its latents."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from blank_pictures import blank_pictures
from commands import unchanged_process

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import experiments_folder

DATA = {
    "dataset": {"class_path": "Textures", "init_args": {"train": 12, "validation": 8, "test": 4}},
    "image_size": [32, 32],
}
AUTOENCODER = {"channels": 6, "widths": [8, 16], "patch": 2}
TRAINED = AUTOENCODER | {"weights": "runs/autoencoder/001"}


@pytest.fixture
def train(tmp_path, monkeypatch):
    """The command line and a shipped experiment, made small."""
    monkeypatch.chdir(tmp_path)
    blank_pictures(monkeypatch.setattr)

    def _train(name: str, trainer: dict, **model: object) -> Path:
        config = yaml.safe_load((experiments_folder() / f"model/{name}.yaml").read_text())
        config["model"]["init_args"] |= model
        config |= {"data": DATA, "wandb": {"mode": "disabled"}, "trainer": config.get("trainer", {}) | trainer}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(config))
        assert main(["train", "--config", f"{name}.yaml"]) == 0
        return Path(f"runs/{name}/001")

    with unchanged_process():
        yield _train


@pytest.mark.slow
def test_latent_diffusion_from_scratch(train) -> None:
    steps = {"max_steps": 4, "val_check_interval": 2}
    own = {"class_path": "ConvAutoencoder", "init_args": TRAINED}
    first = train("autoencoder", steps, autoencoder=own | {"init_args": AUTOENCODER}, crop=16)
    floor = train("vae_floor", {}, autoencoder=own)
    found = [json.loads((run / "summary.json").read_text()) for run in (first, floor)]
    assert found[0]["fidelity"].keys() == {"psnr", "ssim"}
    assert found[0]["fidelity"] == pytest.approx(found[1]["fidelity"])  # the floor of the very same weights
    assert found[0]["pixel_auroc"] == pytest.approx(found[1]["pixel_auroc"])
    backbone = {"class_path": "UNet", "init_args": {"width": 8, "multipliers": [1, 2], "patch": 1}}
    cache = {"class_path": "LatentCache", "init_args": {"views": 1, "folder": "latents"}}
    run = train("latent", steps, autoencoder=own, backbone=backbone, cache=cache)
    stored = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert stored["codec.count"] > 0
    assert not [name for name in stored if "autoencoder" in name]
    assert len(list(Path("latents").rglob("*.safetensors"))) >= 12
    assert json.loads((run / "summary.json").read_text())["nfe"] == 3
    assert main(["test", "--run_folder", str(run)]) == 0
