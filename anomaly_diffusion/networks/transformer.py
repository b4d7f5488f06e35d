"""A diffusion transformer: every patch looks at every other one, and time scales what it does."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.layers import FourierTime, zeroed
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.types import Categories, Images, Times

__all__ = ["DiffusionTransformer"]

_EXPANSION, _PERIOD = 4, 10_000.0  # of the perceptron; longest wave of the positions, in patches


class _Block(nn.Module):
    """Attention and a perceptron, each scaled, shifted and gated by the time embedding; starts as the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU(approximate="tanh"), nn.Linear(_EXPANSION * width, width)
        )

    def forward(self, x: Float[Tensor, "B L W"], embedding: Float[Tensor, "B W"]) -> Float[Tensor, "B L W"]:
        first, second = self.modulation(F.silu(embedding))[:, None].chunk(2, dim=-1)
        shift, scale, gate = first.chunk(3, dim=-1)
        x = x + gate * self._attended(_modulated(x, shift, scale))
        shift, scale, gate = second.chunk(3, dim=-1)
        moved: Tensor = x + gate * self.perceptron(_modulated(x, shift, scale))
        return moved

    def _attended(self, x: Tensor) -> Tensor:
        B, L, W = x.shape
        query, key, value = self.query_key_value(x).view(B, L, 3, self.heads, W // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(B, L, W)
        attended: Tensor = self.out(mixed)
        return attended


class DiffusionTransformer(Backbone):
    """Patches become tokens, pass blocks of attention and perceptrons, and become patches again.

    Images of any size are accepted; inside, they are padded to a multiple of `patch`. Positions are sines and cosines
    of row and column. Attention grows with the square of the number of patches: for features and latents.

    Reference: Peebles & Xie, "Scalable Diffusion Models with Transformers" (DiT), 2023, section 3.2 (adaLN-Zero).

    Differs from the paper: no category is told; time is embedded by our `FourierTime`; no variance is predicted.

    Args:
        channels: C of input and output.
        width: of a token; a multiple of 4 and of `heads`.
        depth: number of blocks, >= 1.
        heads: of attention, >= 1.
        patch: side of the patches, in pixels of model space, >= 1.

    Raises:
        ValueError: a count is not positive, or `width` cannot be shared.
    """

    def __init__(self, channels: int = 64, width: int = 128, depth: int = 4, heads: int = 4, patch: int = 1) -> None:
        super().__init__()
        for name, count in {"width": width, "depth": depth, "heads": heads, "patch": patch}.items():
            if count < 1:
                raise ValueError(f"`{name}` must be at least 1, got {count}.")
        if width % 4 or width % heads:
            raise ValueError(f"`width` must be a multiple of 4 and of `heads` = {heads}, got {width}.")
        self.patch = patch
        self.time = FourierTime(width)
        self.stem = nn.Linear(channels * patch**2, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.head = zeroed(nn.Linear(width, channels * patch**2))

    def forward(self, x_t: Images, t: Times, category: Categories | None = None) -> Images:
        """Output at time `t`."""
        height, width = x_t.shape[-2:]
        padded = F.pad(x_t, (0, -width % self.patch, 0, -height % self.patch), mode="replicate")
        patches = F.pixel_unshuffle(padded, self.patch)
        rows, columns = patches.shape[-2:]
        embedding = self.time(t)
        x = self.stem(patches.flatten(2).transpose(1, 2))
        x = x + _positions(rows, columns, x.shape[-1]).to(x)
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulation(F.silu(embedding))[:, None].chunk(2, dim=-1)
        x = self.head(_modulated(x, shift, scale)).transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(x, self.patch)[..., :height, :width]


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


def _positions(rows: int, columns: int, width: int) -> Float[Tensor, "L W"]:
    """Sines and cosines of the row, then of the column, of each patch in reading order."""
    waves = torch.exp(torch.arange(width // 4) * (-math.log(_PERIOD) / (width // 4)))
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * waves for place in (down, across)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
