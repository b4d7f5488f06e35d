"""The parts that U-Nets are built from."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.types import Images, Times

__all__ = ["AttentionBlock", "FourierTime", "ResidualBlock", "group_norm", "zeroed"]


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with groups of eight channels, or the nearest divisor."""
    return nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)


def zeroed(layer: nn.Module) -> nn.Module:
    """Start a layer at zero, so that its block starts as the identity and the network as the constant zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class FourierTime(nn.Module):
    """Sines and cosines of time at geometrically spaced frequencies, then two linear layers.

    Args:
        features: length of the embedding.
        frequencies: number of frequencies, from half a turn over t in (0, 1) upwards.
    """

    turns: Tensor

    def __init__(self, features: int, frequencies: int = 16) -> None:
        super().__init__()
        self.register_buffer("turns", torch.pi * torch.logspace(0, 2, frequencies), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * frequencies, features), nn.SiLU(), nn.Linear(features, features))

    def forward(self, t: Times) -> Float[Tensor, "B features"]:
        """Embedding of each time."""
        angle = t[:, None] * self.turns
        embedding: Tensor = self.layers(torch.cat([angle.sin(), angle.cos()], dim=1))
        return embedding


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; the time embedding scales and shifts what stands between them.

    Reference: Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, section 3.1 (AdaGN).

    Differs from the paper: the scale is one more than what the embedding says, as in the authors' code; blocks never
    change the resolution.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        features: length of the embedding.
        dropout: share of activations dropped, in [0, 1).
    """

    def __init__(self, channels_in: int, channels_out: int, features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Sequential(
            group_norm(channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels_out, 3, padding=1)
        )
        self.norm = group_norm(channels_out)
        self.modulation = nn.Linear(features, 2 * channels_out)
        self.last = nn.Sequential(
            nn.SiLU(), nn.Dropout(dropout), zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        )
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x: Images, embedding: Float[Tensor, "B features"]) -> Float[Tensor, "B channels_out H W"]:
        """Features with `channels_out` channels."""
        scale, shift = self.modulation(F.silu(embedding))[..., None, None].chunk(2, dim=1)
        change: Tensor = self.last(self.norm(self.first(x)) * (1 + scale) + shift)
        kept: Tensor = self.shortcut(x)
        return kept + change


class AttentionBlock(nn.Module):
    """Every position looks at every other one.

    Args:
        channels: channels of input and output.
        head_channels: channels of each head; must divide `channels`.
    """

    def __init__(self, channels: int, head_channels: int = 32) -> None:
        super().__init__()
        if channels % head_channels:
            raise ValueError(f"`head_channels` must divide the {channels} channels of its level, got {head_channels}.")
        self.heads = channels // head_channels
        self.norm = group_norm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Images) -> Images:
        """Output, shaped like `x`."""
        B, C, H, W = x.shape
        parts = self.query_key_value(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W)
        query, key, value = parts.transpose(-1, -2).unbind(1)  # (B, heads, H*W, C/heads)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2).reshape(B, C, H, W)
        seen: Images = self.out(mixed)
        return x + seen
