"""Adapters of diffusers: a prompted UNet as backbone, its VAE as codec."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_diffusion.codecs.latent import Against, AutoencodingCodec
from anomaly_diffusion.networks.buffers import freeze
from anomaly_diffusion.types import Encoded, Images, Times

__all__ = ["PromptedUNet", "VAECodec", "freeze_all_but_adapters"]

ADAPTERS = "lora_"  # what peft calls the parts that it adds


class PromptedUNet(nn.Module):
    """A backbone (x_t, t) -> output that hears a prompt.

    timestep = round(T t) - 1, the state nearest to t of a chain of T: the network knows no others.
    output   = negative + guidance * (prompt - negative)

    Reference: Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022, Eq. 6, in the notation of diffusers.

    Differs from the paper: a negative prompt stands for no prompt, and `guidance` is its 1 + w.

    Args:
        unet: network (x_t, timestep, prompt) -> output, of diffusers.
        prompts: embeddings of the negative prompt, where there is guidance, and of the prompt, (1 or 2, tokens, width);
            their number format is that of the network.
        guidance: weight of the prompt against the negative one; 1: no guidance.
        length: states T of the chain.
    """

    prompts: Tensor

    def __init__(self, unet: Any, prompts: Float[Tensor, "P L D"], guidance: float, length: int) -> None:
        super().__init__()
        self.unet, self.guidance, self.length = unet, guidance, length
        self.register_buffer("prompts", prompts, persistent=False)
        freeze_all_but_adapters(unet)

    @property
    def evaluations(self) -> int:
        """How often the UNet is asked for one output."""
        return 1 if self.guidance == 1 else 2

    @contextmanager
    def unguided(self) -> Iterator[None]:
        """Without guidance for a while, as in training."""
        guidance, self.guidance = self.guidance, 1.0
        try:
            yield
        finally:
            self.guidance = guidance

    def forward(self, x_t: Images, t: Times) -> Images:
        """Output at time `t`, in the number format of `x_t`."""
        timestep = (t.double() * self.length).round().long().sub(1).clamp(0, self.length - 1)
        told = self._ask(x_t, timestep, self.prompts[-1])
        if self.guidance == 1:
            return told
        untold = self._ask(x_t, timestep, self.prompts[0])
        return untold + self.guidance * (told - untold)

    def _ask(self, x_t: Images, timestep: Tensor, prompt: Tensor) -> Images:
        shown = x_t.to(prompt.dtype)
        output: Images = self.unet(shown, timestep, prompt.expand(len(x_t), -1, -1), return_dict=False)[0]
        return output.to(x_t.dtype)


class VAECodec(AutoencodingCodec):
    """Latents of a frozen VAE, scaled to about unit variance: the mean of what the encoder gives, without a draw.

    Args:
        vae: an AutoencoderKL of diffusers.
        chunk: images that pass through it together, >= 1.
        against: what reconstructions are compared with; the image, in colour, if not given.
    """

    def __init__(self, vae: Any, chunk: int, against: Against | None = None) -> None:
        super().__init__(against)
        freeze(vae)
        self._vae = vae  # private: its layers are no settings
        self.chunk = chunk
        self.stride = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode(self, image: Images) -> Encoded:
        """From pixels in [-1, 1], grey or colour, to latents.

        Raises:
            ValueError: height or width is no multiple of the pixels that a latent stands for.
        """
        if any(side % self.stride for side in image.shape[-2:]):
            height, width = image.shape[-2:]
            raise ValueError(f"`image_size` must be a multiple of {self.stride}, got {height} x {width}.")
        pieces = _coloured(image).to(self._vae.dtype).split(self.chunk)
        means = [self._vae.encode(piece).latent_dist.mode() for piece in pieces]
        latents: Encoded = torch.cat(means) * self._vae.config.scaling_factor
        return latents.to(image.dtype)

    def pixels(self, x_0: Encoded) -> Images:
        """From latents to pixels in [-1, 1], in colour."""
        pieces = (x_0.to(self._vae.dtype) / self._vae.config.scaling_factor).split(self.chunk)
        decoded = torch.cat([self._vae.decode(piece, return_dict=False)[0] for piece in pieces])
        return decoded.to(x_0.dtype).clamp(-1, 1)

    def reference(self, image: Images, x_0: Encoded) -> Tensor:
        """What reconstructions are compared with."""
        return super().reference(_coloured(image), x_0)


def freeze_all_but_adapters(network: nn.Module) -> None:
    """Freeze every layer that peft has not added, with the effect of `freeze`."""
    for name, module in network.named_modules():
        if ADAPTERS not in name and not any(module.children()):
            freeze(module)


def _coloured(image: Images) -> Images:
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
