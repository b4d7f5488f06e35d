"""Autoencoders: shapes, weights of others in their genuine format, and one message where there are none."""

import os
from pathlib import Path

import pytest
import torch
from analytic import seeded
from frozen_networks import taef2_weights
from safetensors.torch import save_file
from torch import Tensor

from anomaly_diffusion.networks.autoencoder import Autoencoder, ConvAutoencoder
from anomaly_diffusion.networks.pretrained import TAEF2, DiffusersAutoencoder

IMAGES = torch.rand(3, 3, 32, 48, generator=seeded()) * 2 - 1
REAL = Path(os.environ.get("ANOMALY_DIFFUSION_WEIGHTS", "nowhere")) / "taef2_fp16.safetensors"


def _conv(**settings: object) -> ConvAutoencoder:
    return ConvAutoencoder(**{"channels": 4, "widths": (8, 16), "patch": 2} | settings)


def _run(folder: Path, network: ConvAutoencoder) -> str:
    (folder / "checkpoints").mkdir()
    state = {f"autoencoder.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state | {"image_threshold": torch.zeros(())}}, folder / "checkpoints" / "best.ckpt")
    return str(folder)


def _kl(folder: Path) -> str:
    from diffusers import AutoencoderKL

    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    AutoencoderKL(block_out_channels=[8, 16], norm_num_groups=4, **blocks).save_pretrained(folder)
    return str(folder)


def _tiny(folder: Path) -> str:
    from diffusers import AutoencoderTiny

    counts = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), **counts).save_pretrained(
        folder
    )
    return str(folder)


def _check(network: Autoencoder, channels: int, factor: int) -> None:
    network.eval()
    with torch.no_grad():
        latent = network.encode(IMAGES)
        assert (network.channels, network.factor) == (channels, factor)
        assert latent.shape == (3, channels, 32 // factor, 48 // factor)
        assert network.pixels(latent * 50).abs().max() <= 1
        assert network.decode(latent).shape == IMAGES.shape
        torch.testing.assert_close(network.encode(IMAGES[1:2]), latent[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("widths", "patch", "factor"), [((8,), 4, 4), ((8, 8), 2, 4), ((8, 16), 4, 8), ((8,) * 3, 2, 8)]
)
def test_the_stages_of_an_autoencoder_decide_its_factor(widths: tuple[int, ...], patch: int, factor: int) -> None:
    _check(ConvAutoencoder(5, widths, patch), 5, factor)


def test_weights_are_those_of_the_run_that_trained_them(tmp_path: Path) -> None:
    trained = _conv()
    folder = _run(tmp_path, trained)
    for place in (folder, f"{folder}/checkpoints/best.ckpt"):
        assert torch.equal(_conv(weights=place).encode(IMAGES), trained.encode(IMAGES))
    with pytest.raises(ValueError, match=r"does not hold this autoencoder: .*Give the settings with which it was"):
        _conv(weights=folder, channels=5)
    with pytest.raises(FileNotFoundError, match=r"there is none at .*absent.*\n?.*Train one first"):
        _conv(weights=str(tmp_path / "absent"))


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="`image_size` must be multiples of 4, got 30 x 48"):
        _conv().encode(IMAGES[:, :, :30])
    with pytest.raises(ValueError, match=r"`data.channels` must be 3 .*got 1"):
        _conv().encode(IMAGES[:, :1])
    with pytest.raises(ValueError, match="`widths` must be at least 1, got 0"):
        _conv(widths=())


def test_the_tiny_autoencoder_loads_its_file(tmp_path: Path) -> None:
    save_file(taef2_weights(), tmp_path / "taef2.safetensors")
    _check(TAEF2(str(tmp_path / "taef2.safetensors")), 32, 8)
    save_file({"encoder.0.bias": torch.zeros(64)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not hold weights for TAEF2"):
        TAEF2(str(tmp_path / "other.safetensors"))


def test_absent_weights_of_the_tiny_autoencoder_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALY_DIFFUSION_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"(?s)TAEF2 are not on this machine.*github.com/madebyollin/taesd"):
        TAEF2()


def _texture(name: str) -> Tensor:
    from skimage import data

    grey = torch.from_numpy(getattr(data, name)()[:256, :256].copy()).float() / 127.5 - 1
    return grey.expand(1, 3, -1, -1)


@pytest.mark.skipif(not REAL.is_file(), reason="ANOMALY_DIFFUSION_WEIGHTS holds no taef2_fp16.safetensors")
@pytest.mark.parametrize(("name", "least"), [("brick", 33.0), ("grass", 20.5), ("gravel", 22.5)])
def test_the_genuine_tiny_autoencoder_draws_photographs(name: str, least: float) -> None:
    network, image = TAEF2(str(REAL)).eval(), _texture(name)
    with torch.no_grad():
        error = (network.pixels(network.encode(image)) - image).square().mean()
    assert 10 * torch.log10(4 / error) > least


@pytest.mark.parametrize(("write", "channels"), [(_kl, 4), (_tiny, 4)])
def test_models_of_diffusers_load_from_a_folder(write, channels: int, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "small" / "vae"
    write(folder)
    _check(DiffusersAutoencoder(str(folder)), channels, 2)
    monkeypatch.setenv("ANOMALY_DIFFUSION_WEIGHTS", str(tmp_path))
    below, within = DiffusersAutoencoder("small/vae").eval(), DiffusersAutoencoder("small", "vae").eval()
    assert torch.equal(below.encode(IMAGES), within.encode(IMAGES))


def test_a_model_that_is_nowhere_is_told_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(FileNotFoundError, match=r"autoencoder nobody/nothing could not be loaded.*hf download nobody/"):
        DiffusersAutoencoder("nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"could not be loaded from .*empty"):
        DiffusersAutoencoder(str(tmp_path / "empty"))
