"""A compact U-Net, and the adapter for the one of diffusers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.coordinates import coordinates, whole
from anomaly_diffusion.networks.layers import AttentionBlock, FourierTime, ResidualBlock, group_norm, zeroed
from anomaly_diffusion.types import Categories, Encoded, Images, Levels, Places, Times

__all__ = ["Backbone", "DiffusersUNet", "LinearShortcut", "UNet"]

_MOST_BLOCKS = 64
_GROUPS = 8  # of the adapter's normalisations


class Backbone(nn.Module, ABC):
    """A network (x_t, t) -> output; input and output are both (B, C, H, W), t is (B,) in (0, 1).

    One with `classes` > 0 also wants the category of each image, (B,) in [0, classes). One with `coordinates` also
    takes the place of each image in its frame, as `ImageBatch.place` gives it; none is the whole frame.
    """

    classes: int = 0
    coordinates: bool = False

    @property
    def levels(self) -> int:
        """Number of levels whose activations it shows, 0 for none."""
        return 0

    @abstractmethod
    def forward(self, x_t: Images, t: Times, category: Categories | None = None) -> Images:
        """Output at time `t`."""

    def activations(self, x_t: Images, t: Times) -> tuple[Images, Levels]:
        """Output, and what each level puts out on the way down, then on the way up; each (B, c, h, w) of its own.

        Raises:
            NotImplementedError: the backbone does not show them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not show its activations: take UNet or DiffusersUNet.")


class _Level(nn.ModuleList):
    """Residual blocks that share a resolution, each followed by attention where the level asks for it."""

    def __init__(
        self, channels_in: int, channels_out: int, features: int, blocks: int, attention: bool, dropout: float
    ) -> None:
        super().__init__()
        for index in range(blocks):
            self.append(ResidualBlock(channels_in if index == 0 else channels_out, channels_out, features, dropout))
            if attention:
                self.append(AttentionBlock(channels_out))

    def forward(self, x: Images, embedding: Tensor) -> Float[Tensor, "B channels_out H W"]:
        for block in self:
            x = block(x, embedding) if isinstance(block, ResidualBlock) else block(x)
        return x


class _PatchHead(nn.Sequential):
    """From features of patches to their pixels, side by side."""

    def __init__(self, width: int, channels: int, patch: int) -> None:
        last = zeroed(nn.Conv2d(width, channels * patch**2, 3, padding=1))
        super().__init__(group_norm(width), nn.SiLU(), last, nn.PixelShuffle(patch))

    def forward(self, features: Encoded, x_t: Images) -> Images:  # type: ignore[override]
        output: Images = super().forward(features)
        return output


class _DetailHead(nn.Module):
    """From features of patches to pixels: two 3x3 convolutions at full resolution over unfolded features and x_t."""

    def __init__(self, width: int, channels: int, patch: int, detail: int) -> None:
        super().__init__()
        self.patch = patch
        self.unfold = nn.Sequential(
            group_norm(width), nn.SiLU(), nn.Conv2d(width, detail * patch**2, 3, padding=1), nn.PixelShuffle(patch)
        )
        self.mix = nn.Sequential(
            nn.Conv2d(detail + channels, detail, 3, padding=1),
            nn.SiLU(),
            zeroed(nn.Conv2d(detail, channels, 3, padding=1)),
        )

    def forward(self, features: Encoded, x_t: Images) -> Images:
        output: Images = self.mix(torch.cat([self.unfold(features), x_t], dim=1))
        return output


class UNet(Backbone):
    """A U-Net that works on a pixel-unshuffled image, so that at most a thin head runs at full resolution.

    Folding patch x patch pixels into channels cuts the cost by about patch^2 and loses nothing: the last convolution
    predicts every pixel of the patch. But it predicts them side by side, and until long training has taught it that
    patches meet, a lattice of the patch's period lies over every output. `detail` channels of two convolutions at full
    resolution remove it. Images of any size are accepted; inside, they are padded to a multiple of
    patch * 2^(levels - 1).

    Args:
        channels: C of input and output.
        width: channels of the finest level.
        multipliers: channels of each level as multiples of `width`, from fine to coarse.
        blocks: residual blocks per level, 1 to 64, on the way down and again on the way up.
        attention: levels (0 is the finest) with self-attention.
        dropout: share of activations dropped in training, in [0, 1).
        patch: side of the patches folded into channels, in pixels.
        classes: number of categories of objects it can be told, 0 for none.
        detail: channels of the head at full resolution, 12 are enough for `patch` 2; 0: none.
        coordinates: whether it is told where in the frame each position lies, and how large a pixel is: three channels
            more for the first convolution. For training on parts of frames, as of Patch Diffusion (Wang et al., 2023),
            which tells place alone.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        attention: Sequence[int] = (),
        dropout: float = 0.0,
        patch: int = 2,
        classes: int = 0,
        detail: int = 0,
        coordinates: bool = False,
    ) -> None:
        super().__init__()
        _check(channels=channels, width=width, blocks=blocks, patch=patch)
        if blocks > _MOST_BLOCKS:
            raise ValueError(f"`blocks` must be at most {_MOST_BLOCKS}, got {blocks}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1), got {dropout}.")
        if not multipliers or min(multipliers) < 1:
            raise ValueError(f"`multipliers` must name at least one level, each >= 1, got {list(multipliers)}.")
        if not set(attention) <= set(range(len(multipliers))):
            raise ValueError(f"`attention` must name levels among 0 to {len(multipliers) - 1}, got {list(attention)}.")
        if classes < 0:
            raise ValueError(f"`classes` must not be negative, got {classes}.")
        if detail < 0:
            raise ValueError(f"`detail` must not be negative, got {detail}.")
        widths = [width * multiplier for multiplier in multipliers]
        features = 4 * width

        def level(channels_in: int, index: int) -> _Level:
            return _Level(channels_in, widths[index], features, blocks, index in attention, dropout)

        levels = range(len(widths))
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        self.classes, self.coordinates = classes, coordinates
        self.time = FourierTime(features)
        self.category = nn.Embedding(classes, features) if classes else None
        self.stem = nn.Conv2d(channels * patch**2 + 3 * coordinates, widths[0], 3, padding=1)
        self.down = nn.ModuleList(level(widths[max(index - 1, 0)], index) for index in levels)
        self.up = nn.ModuleList(level(widths[min(index + 1, levels[-1])] + widths[index], index) for index in levels)
        self.head = (
            _DetailHead(widths[0], channels, patch, detail) if detail else _PatchHead(widths[0], channels, patch)
        )

    @property
    def levels(self) -> int:
        """Twice the resolutions: on the way down, and up again."""
        return 2 * len(self.down)

    def forward(self, x_t: Images, t: Times, category: Categories | None = None, place: Places | None = None) -> Images:
        """Output at time `t`."""
        return self._output(x_t, t, category, place)[0]

    def activations(self, x_t: Images, t: Times, place: Places | None = None) -> tuple[Images, Levels]:
        """Output, and what each level puts out on the way down, then on the way up, at patch * 2^level pixels."""
        height, width = x_t.shape[-2:]
        output, levels = self._output(x_t, t, None, place)
        strides = [self.patch * 2**level for level in range(len(self.down))]
        shown = zip(levels, strides + strides[::-1], strict=True)
        return output, [level[..., : -(-height // stride), : -(-width // stride)] for level, stride in shown]

    def _output(
        self, x_t: Images, t: Times, category: Categories | None, place: Places | None
    ) -> tuple[Images, Levels]:
        height, width = x_t.shape[-2:]
        padded = F.pad(x_t, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        folded = F.pixel_unshuffle(padded, self.patch)
        if self.coordinates:
            cells, size = folded.shape[-2:], (height / self.patch, width / self.patch)
            folded = torch.cat([folded, coordinates(whole(x_t) if place is None else place, cells, size)], dim=1)
        levels = self._levels(folded, self._embedding(t, category))
        output: Images = self.head(levels[-1], padded)
        return output[..., :height, :width], levels

    def _embedding(self, t: Times, category: Tensor | None) -> Tensor:
        embedding: Tensor = self.time(t)
        if self.category is None:
            return embedding
        if category is None:
            raise ValueError(f"`category` must be given to a backbone with {self.classes} classes, got none.")
        known: Tensor = self.category(category)
        return embedding + known

    def _levels(self, x: Images, embedding: Tensor) -> Levels:
        """What each level puts out on the way down, then on the way up."""
        x = self.stem(x)
        down: Levels = []
        for level in self.down:
            x = level(F.avg_pool2d(x, 2) if down else x, embedding)
            down.append(x)
        up: Levels = []
        for level, skip in zip(reversed(self.up), reversed(down), strict=True):
            if x.shape[-1] != skip.shape[-1]:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = level(torch.cat([x, skip], dim=1), embedding)
            up.append(x)
        return down + up


class DiffusersUNet(Backbone):
    """The `UNet2DModel` of diffusers behind our signature.

    With residual blocks that resample and 32 groups it has the weights of the U-Net that AnoDDPM, DDAD, DiffusionAD and
    MDPS train, to the last one.

    Reference: Dhariwal & Nichol, "Diffusion Models Beat GANs on Image Synthesis", 2021, section 3.

    Differs from the paper: the time embedding is added, as by those four, theirs scales and shifts; heads of attention
    have a width, those of the four a number.

    Args:
        channels: C of input and output.
        widths: channels of each level, from fine to coarse; multiples of `groups`.
        blocks: residual blocks per level on the way down, one more on the way up.
        attention: levels (0 is the finest) with self-attention; none: none in the middle either.
        head_channels: channels of each head of attention; must divide the widths that have it.
        groups: of the normalisations, >= 1.
        residual_resampling: whether residual blocks halve and double the resolution, and not single convolutions.

    Raises:
        ValueError: a width is none that can be normalised, or that heads can share.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        attention: Sequence[int] = (),
        head_channels: int = 8,
        groups: int = _GROUPS,
        residual_resampling: bool = False,
    ) -> None:
        super().__init__()
        _check(blocks=blocks, head_channels=head_channels, groups=groups)
        if not widths or any(width < groups or width % groups for width in widths):
            raise ValueError(f"`widths` must be multiples of {groups}, one for each level, got {list(widths)}.")
        levels = range(len(widths))
        attending = [widths[level] for level in {*attention, levels[-1]} if attention and level in levels]
        if any(width % head_channels for width in attending):
            raise ValueError(f"`head_channels` must divide widths with attention, got {head_channels} for {attending}.")
        from diffusers.models.unets.unet_2d import UNet2DModel

        plain, resampling = ("Resnet{}sampleBlock2D", "resnet") if residual_resampling else ("{}Block2D", "conv")
        self.model = UNet2DModel(
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(widths),
            layers_per_block=blocks,
            norm_num_groups=groups,
            attention_head_dim=head_channels,
            down_block_types=tuple(
                "AttnDownBlock2D" if level in attention else plain.format("Down") for level in levels
            ),
            up_block_types=tuple(
                "AttnUpBlock2D" if level in attention else plain.format("Up") for level in reversed(levels)
            ),
            downsample_type=resampling,
            upsample_type=resampling,
            add_attention=bool(attention),
        )

    @property
    def levels(self) -> int:
        """The blocks on the way down, and up again."""
        return len(self.model.down_blocks) + len(self.model.up_blocks)

    def forward(self, x_t: Images, t: Times, category: Categories | None = None) -> Images:
        """Output at time `t`; diffusers counts time in thousandths."""
        output: Images = self.model(x_t, 1000 * t).sample
        return output

    def activations(self, x_t: Images, t: Times) -> tuple[Images, Levels]:
        """Output, and what each block puts out on the way down, then on the way up."""
        levels: Levels = []

        def keep(block: nn.Module, given: object, put_out: Any) -> None:
            levels.append(put_out if isinstance(put_out, Tensor) else put_out[0])

        hooks = [block.register_forward_hook(keep) for block in (*self.model.down_blocks, *self.model.up_blocks)]
        try:
            return self(x_t, t), levels
        finally:
            for hook in hooks:
                hook.remove()


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")


class LinearShortcut(Backbone):
    """output = backbone(x_t, t) + share(t) * x_t, with a learned share that depends on time alone.

    The best linear answer to noise has this form, so that the loss falls much faster early on. Beware: what passes by
    the network passes whether it is normal or not, and defects survive noise-free reconstruction better.

    Reference: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, Eq. 7 (c_skip).

    Differs from the paper: the share is learnt, theirs a fixed function of the noise; the rest is not scaled.

    Args:
        backbone: the network that adds the rest.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes, self.coordinates = backbone.classes, backbone.coordinates
        self.share = nn.Sequential(FourierTime(32), nn.SiLU(), zeroed(nn.Linear(32, 1)))

    @property
    def levels(self) -> int:
        """Those of the network that adds the rest."""
        return self.backbone.levels

    def forward(self, x_t: Images, t: Times, category: Categories | None = None, place: Places | None = None) -> Images:
        """Output at time `t`."""
        share: Tensor = self.share(t)[..., None, None]
        known = {"place": place} if self.coordinates else {}
        rest: Images = self.backbone(x_t, t, category, **known)
        return rest + share * x_t

    def activations(self, x_t: Images, t: Times, place: Places | None = None) -> tuple[Images, Levels]:
        """Output with the share, and the levels of the network that adds the rest."""
        rest, levels = self.backbone.activations(x_t, t, **({"place": place} if self.coordinates else {}))
        share: Tensor = self.share(t)[..., None, None]
        return rest + share * x_t, levels
