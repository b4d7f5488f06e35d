"""Latent cache: encoded photographs, kept on disk from one run to the next."""

import json
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from anomaly_diffusion.detectors.encoding_cache import EncodingCache
from anomaly_diffusion.types import Encoded, Images

__all__ = ["LatentCache"]


class LatentCache(EncodingCache):
    """Views of training photographs as latents, in memory and, if asked for, on disk.

    The name of a file is a digest of the very pixels that were encoded, framed and augmented, and its folder one of the
    network that encoded them: whatever changes, a stale latent is never found. Files nobody asks for stay.

    Args:
        views: how often each photograph is augmented, its latents kept in memory; 0 encodes at each step.
        folder: where latents are kept for later runs; None: nowhere.

    Raises:
        ValueError: `views` is negative.
    """

    def __init__(self, views: int = 1, folder: str | None = None) -> None:
        super().__init__(views)
        self.folder = folder

    def latents(self, image: Images, encode: Callable[[Images], Encoded], identity: Mapping[str, Any]) -> Encoded:
        """Latents from disk, or encoded and put there; those that are to be kept are rounded to half precision.

        Args:
            image: framed photographs.
            encode: from pixels to latents, of each image by itself.
            identity: what tells the network that encodes from others.
        """
        if self.folder is None:
            return encode(image)
        folder = Path(self.folder) / _digest(json.dumps(identity, sort_keys=True, default=str).encode())
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{_of_pixels(one)}.safetensors" for one in image]
        known = [_read(path) for path in paths]
        absent = [place for place, latent in enumerate(known) if latent is None]
        if absent:
            for place, latent in zip(absent, encode(image[absent]).half().cpu(), strict=True):
                known[place] = latent
                _write(paths[place], latent)
        return torch.stack([latent for latent in known if latent is not None]).to(image)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _of_pixels(image: Tensor) -> str:
    pixels = image.detach().cpu().contiguous()
    return _digest(str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes())


def _read(path: Path) -> Tensor | None:
    try:
        return load_file(path)["latent"] if path.is_file() else None
    except (SafetensorError, KeyError):
        return None  # a file that was never finished


def _write(path: Path, latent: Tensor) -> None:
    part = path.with_suffix(f".{os.getpid()}")  # runs may share the folder
    save_file({"latent": latent.contiguous()}, part)
    part.replace(path)
