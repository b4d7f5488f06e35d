"""Autoencoders: from an image to a smaller latent and back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.in_parts import in_parts
from anomaly_diffusion.networks.layers import group_norm, zeroed
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Encoded, Images

__all__ = ["Autoencoder", "ConvAutoencoder"]

_CHUNK = 8  # images that pass together: more of them only take more memory
_CHECKPOINT, _PREFIX = Path("checkpoints") / "best.ckpt", "autoencoder."  # as a run of AutoencoderDetector leaves it
_LOG_VARIANCE = (-20.0, 4.0)


class Autoencoder(Configured, nn.Module, ABC):
    """Image (B, 3, H, W) in [-1, 1] -> latent (B, channels, H / factor, W / factor) -> image.

    Args:
        channels: of the latent.
        factor: pixels from one position of the latent to the next.
    """

    ignored = frozenset({"weights", "name", "subfolder"})  # whoever freezes it tells the digest of its weights

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.channels, self.factor = channels, factor

    @abstractmethod
    def mean(self, image: Images) -> Encoded:
        """The latent, or its mean where it is random, of a colour image whose sides are multiples of `factor`."""

    @abstractmethod
    def decode(self, latent: Encoded) -> Images:
        """Pixels, about in [-1, 1]."""

    def encode(self, image: Images) -> Encoded:
        """The latent, or its mean where it is random.

        Raises:
            ValueError: the image is grey, or its sides are no multiples of `factor`.
        """
        if image.shape[1] != 3:
            raise ValueError(f"`data.channels` must be 3 for an autoencoder, which sees colours, got {image.shape[1]}.")
        height, width = image.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ValueError(f"`image_size` must be multiples of {self.factor}, got {height} x {width}.")
        return torch.cat([self.mean(chunk) for chunk in in_parts(image, _CHUNK)])

    def pixels(self, latent: Encoded) -> Images:
        """Decoded pixels, clipped to [-1, 1]; however many latents, few are decoded at a time."""
        return torch.cat([self.decode(chunk).clamp(-1, 1) for chunk in in_parts(latent, _CHUNK)])


class ConvAutoencoder(Autoencoder):
    """A small autoencoder to be trained from scratch: dense 3x3 convolutions, with a Gaussian latent.

    Patches are folded into channels first, so that no convolution runs at full resolution.

    Reference: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, section 3.1.

    Differs from the paper: it is far smaller, has no attention, and folds patches into channels at its two ends; layers
    that halve see zeros beyond all borders, theirs beyond two.

    Args:
        channels: of the latent.
        widths: channels of each level, from fine to coarse; each level halves the resolution of the one before.
        patch: side of the patches folded into channels, in pixels; `factor` is patch * 2^(levels - 1).
        blocks: residual blocks of each level, on the way in and again on the way out.
        weights: folder of a run that trained it, or a checkpoint; None: random weights, to be trained.

    Raises:
        FileNotFoundError: there is no checkpoint.
        ValueError: it holds no autoencoder of this shape, or a number is not positive.
    """

    def __init__(
        self,
        channels: int = 16,
        widths: Sequence[int] = (32, 64, 128),
        patch: int = 2,
        blocks: int = 1,
        weights: str | None = None,
    ) -> None:
        counts = {"channels": channels, "patch": patch, "blocks": blocks, "widths": min(widths, default=0)}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        super().__init__(channels, patch * 2 ** (len(widths) - 1))
        colours, outermost, innermost = 3 * patch**2, widths[0], widths[-1]
        inwards, outwards = nn.Sequential(), nn.Sequential()
        for width, finer in zip(widths, (None, *widths), strict=False):
            inwards.extend([] if finer is None else [nn.Conv2d(finer, width, 3, stride=2, padding=1)])
            inwards.extend(_Block(width) for _ in range(blocks))
        for width, finer in reversed(list(zip(widths, (None, *widths), strict=False))):
            outwards.extend(_Block(width) for _ in range(blocks))
            outwards.extend([] if finer is None else [_Doubled(width, finer)])
        self.encoder = nn.Sequential(
            *(nn.PixelUnshuffle(patch), nn.Conv2d(colours, outermost, 3, padding=1), inwards),
            *(group_norm(innermost), nn.SiLU(), nn.Conv2d(innermost, 2 * channels, 3, padding=1)),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv2d(channels, innermost, 3, padding=1), outwards),
            *(group_norm(outermost), nn.SiLU(), nn.Conv2d(outermost, colours, 3, padding=1), nn.PixelShuffle(patch)),
        )
        if weights is not None:
            _fill(self, Path(weights))

    def posterior(self, image: Images) -> tuple[Encoded, Encoded]:
        """Mean and log variance of the latent."""
        mean, log_variance = self.encoder(image).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def mean(self, image: Images) -> Encoded:
        """The mean of the latent."""
        return self.posterior(image)[0]

    def decode(self, latent: Encoded) -> Images:
        """Pixels, about in [-1, 1]."""
        image: Images = self.decoder(latent)
        return image


class _Block(nn.Module):
    """Two 3x3 convolutions beside the identity, at which the block starts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)),
            *(group_norm(width), nn.SiLU(), zeroed(nn.Conv2d(width, width, 3, padding=1))),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.layers(x)
        return x + change


class _Doubled(nn.Module):
    """Twice the resolution; channels are cut first, while there are few positions."""

    def __init__(self, width: int, finer: int) -> None:
        super().__init__()
        self.narrow, self.smooth = nn.Conv2d(width, finer, 1), nn.Conv2d(finer, finer, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        smooth: Tensor = self.smooth(F.interpolate(self.narrow(x), scale_factor=2, mode="nearest"))
        return smooth


def _fill(network: nn.Module, place: Path) -> None:
    path = place / _CHECKPOINT if place.is_dir() else place
    if not path.is_file():
        raise FileNotFoundError(
            f"`weights` of the autoencoder must be a run folder or a checkpoint, but there is none at {path}. "
            "Train one first: anomaly-diffusion train --config experiments/model/autoencoder.yaml"
        )
    try:
        stored = torch.load(path, "cpu", weights_only=True)["state_dict"]
        ours = {name.removeprefix(_PREFIX): value for name, value in stored.items() if name.startswith(_PREFIX)}
        network.load_state_dict(ours)
    except (RuntimeError, KeyError, TypeError, UnpicklingError) as error:
        reason = str(error).strip().splitlines()[-1].strip()[:160]
        raise ValueError(
            f"{path} does not hold this autoencoder: {reason} Give the settings with which it was trained."
        ) from None
