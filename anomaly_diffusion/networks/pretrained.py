"""Autoencoders that others have trained on photographs; the only file of this room that loads models of diffusers."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from anomaly_diffusion.networks.autoencoder import Autoencoder
from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE, find_weights
from anomaly_diffusion.types import Encoded, Images

__all__ = ["TAEF2", "DiffusersAutoencoder"]

_NAME, _SOURCE = "taef2", "github.com/madebyollin/taesd"
_WIDTH = 64


class TAEF2(Autoencoder):
    """A tiny autoencoder distilled from a large one: factor 8, 32 channels, 64 channels at every resolution.

    Args:
        weights: a safetensors file, here or below $ANOMALY_DIFFUSION_WEIGHTS, whose names begin with encoder. and
            decoder.; if not given, the file there whose name begins with taef2.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file holds those of another network.
    """

    def __init__(self, weights: str | None = None) -> None:
        path = find_weights(_NAME, weights)
        if path is None:
            raise FileNotFoundError(
                f"The weights of TAEF2 are not on this machine. Save {_NAME}_encoder.pth and {_NAME}_decoder.pth of "
                f"{_SOURCE} as one {_NAME}.safetensors, with encoder. and decoder. before the names, in a folder, and "
                f"set {WEIGHTS_VARIABLE} to it."
            )
        super().__init__(channels=32, factor=8)
        self.encoder, self.decoder = _encoder(self.channels), _decoder(self.channels)
        try:
            self.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()[:160]
            raise ValueError(f"{path} does not hold weights for TAEF2: {reason}") from None

    def mean(self, image: Images) -> Encoded:
        """The latent; it is not random."""
        latent: Encoded = self.encoder((image + 1) / 2)
        return latent

    def decode(self, latent: Encoded) -> Images:
        """Pixels, about in [-1, 1]."""
        image: Images = self.decoder(latent)
        return 2 * image - 1


class DiffusersAutoencoder(Autoencoder):
    """An autoencoder in the format of diffusers: AutoencoderKL, AutoencoderTiny and their like.

    The model's own scaling factor is left out, because latents are normalised by what they are on normal images.

    Args:
        name: a folder, here or below $ANOMALY_DIFFUSION_WEIGHTS, or a name on the Hugging Face hub.
        subfolder: where the autoencoder lies in the folder of a whole pipeline, for instance vae.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the model there is no autoencoder of images.
    """

    def __init__(self, name: str = "stabilityai/sd-vae-ft-mse", subfolder: str | None = None) -> None:
        model = _from_diffusers(name, subfolder)
        known = getattr(model, "config", {})
        if "latent_channels" not in known or "block_out_channels" not in known:
            raise ValueError(f"`name` must be an autoencoder of images, got {name}, a {type(model).__name__}.")
        super().__init__(known["latent_channels"], 2 ** (len(known["block_out_channels"]) - 1))
        self.name, self.model = name, model

    def mean(self, image: Images) -> Encoded:
        """The latent, or its mean where it is random."""
        encoded = self.model.encode(image)
        latent: Encoded = encoded.latent_dist.mode() if "latent_dist" in encoded else encoded.latents
        return latent

    def decode(self, latent: Encoded) -> Images:
        """Pixels, about in [-1, 1]."""
        image: Images = self.model.decode(latent).sample
        return image


class _Bounded(nn.Module):
    """What lies within is kept, what lies far outside is drawn in."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class _Block(nn.Module):
    """Three 3x3 convolutions beside the identity; some look at the whole image, through its group statistics, first."""

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())
        self.pool = _pool() if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.pool is None else x + self.pool(x)
        change: Tensor = self.conv(x)
        return (x + change).relu()


def _conv(channels_in: int = _WIDTH, channels_out: int = _WIDTH, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias)


def _pool() -> nn.Sequential:
    wide = 4 * _WIDTH
    return nn.Sequential(
        nn.Conv2d(_WIDTH, wide, 1, bias=False), nn.GroupNorm(4, wide), nn.ReLU(), nn.Conv2d(wide, _WIDTH, 1, bias=False)
    )


def _halved(pooled: bool = False) -> list[nn.Module]:
    return [_conv(stride=2, bias=False), *(_Block(pooled) for _ in range(3))]


def _doubled(pooled: bool = False) -> list[nn.Module]:
    return [*(_Block(pooled) for _ in range(3)), nn.Upsample(scale_factor=2), _conv(bias=False)]


def _encoder(channels: int) -> nn.Sequential:
    """Layers in the order, and so of the names, of the file."""
    middle = [*_halved(), *_halved(), *_halved(pooled=True)]
    return nn.Sequential(_conv(3), _Block(), *middle, _conv(_WIDTH, channels))


def _decoder(channels: int) -> nn.Sequential:
    middle = [*_doubled(pooled=True), *_doubled(), *_doubled()]
    return nn.Sequential(_Bounded(), _conv(channels), nn.ReLU(), *middle, _Block(), _conv(_WIDTH, 3))


def _from_diffusers(name: str, subfolder: str | None) -> Any:
    """The model of a folder or of the hub; whatever diffusers says when it finds none becomes one message."""
    from diffusers import AutoModel

    below = Path(os.environ.get(WEIGHTS_VARIABLE, ".")) / name
    place = str(below if below.is_dir() and not Path(name).is_dir() else name)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*local_dir_use_symlinks.*")  # an option that diffusers itself passes on
            return AutoModel.from_pretrained(place, **({"subfolder": subfolder} if subfolder else {}))
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:160]
        raise FileNotFoundError(
            f"The autoencoder {name} could not be loaded from {place} ({reason}). Either give a folder with its "
            f"config.json and weights, here or below ${WEIGHTS_VARIABLE}, or go online once: hf download {name}"
        ) from None
