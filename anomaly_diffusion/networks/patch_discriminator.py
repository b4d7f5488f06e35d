"""Patch discriminator: the adversarial loss that teaches an autoencoder texture."""

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from anomaly_diffusion.networks.layers import group_norm
from anomaly_diffusion.types import Images

__all__ = ["GANLosses", "PatchDiscriminator"]


@dataclass(frozen=True)
class GANLosses:
    """How a batch went between an autoencoder and its adversary.

    Attributes:
        generator: what the autoencoder makes small: it falls as reconstructions pass for photographs.
        discriminator: what the adversary makes small: it falls as it tells them apart.
    """

    generator: Tensor
    discriminator: Tensor


class PatchDiscriminator(nn.Module):
    """Judges each patch of an image: positive for a photograph, negative for a reconstruction.

    Strided convolutions, each of which halves the sides; a verdict sees about 2^(layers + 2) pixels.

    Reference: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017, section 3.2.2;
    the hinge loss of Lim and Ye, "Geometric GAN", 2017, Eq. 14.

    Differs from the paper: it judges images alone, theirs pairs of input and output; a few strided convolutions of half
    their width, and none of stride one; group norm, theirs batch norm; the hinge loss is halved; `weight` is fixed.

    Args:
        weight: of the autoencoder's loss by it, >= 0.
        start: optimiser step from which on both learn from it, >= 0: before, there is nothing worth judging.
        width: channels of the first layer, doubled by each further one.
        layers: number of strided convolutions, at least 1.

    Raises:
        ValueError: a number lies outside its range.
    """

    def __init__(self, weight: float = 0.1, start: int = 0, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        for name, value, least in (
            ("weight", weight, 0),
            ("start", start, 0),
            ("width", width, 1),
            ("layers", layers, 1),
        ):
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
        self.weight, self.start = weight, start
        sizes = [3, *(width * 2**layer for layer in range(layers))]
        blocks: list[nn.Module] = []
        for layer, (channels_in, channels_out) in enumerate(pairwise(sizes)):
            norm = [group_norm(channels_out)] if layer else []
            blocks += [nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1), *norm, nn.LeakyReLU(0.2)]
        self.judge = nn.Sequential(*blocks, nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, image: Images) -> Float[Tensor, "B 1 h w"]:
        """The verdict on each patch; grey images are judged as colour ones."""
        verdict: Tensor = self.judge(image.expand(-1, 3, -1, -1))
        return verdict

    def losses(self, image: Images, rebuilt: Images) -> GANLosses:
        """Both sides' losses, fit to be added up: neither sends a gradient into the other's weights.

        Args:
            image: photographs.
            rebuilt: their reconstructions.
        """
        fixed = {name: weight.detach() for name, weight in self.named_parameters()}
        generator = -functional_call(self, fixed, (rebuilt,)).mean()
        discriminator = (F.relu(1 - self(image)) + F.relu(1 + self(rebuilt.detach()))).mean() / 2
        return GANLosses(generator, discriminator)

    def loss(self, image: Images, rebuilt: Images, step: int) -> Tensor:
        """What both sides add to a training step: nothing before `start`.

        Args:
            image: photographs.
            rebuilt: their reconstructions.
            step: of the optimiser.
        """
        losses = self.losses(image, rebuilt)
        total = self.weight * losses.generator + losses.discriminator
        return total * float(step >= self.start)  # zero still names every weight, as several processes ask for
