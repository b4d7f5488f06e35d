"""Codec of latent diffusion: normalised latents of a frozen autoencoder, and what they are compared with."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.networks.autoencoder import Autoencoder
from anomaly_diffusion.networks.buffers import freeze, identity
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Encoded, Images, Masks, inside

__all__ = ["Against", "AgainstInput", "AgainstLatents", "AgainstRoundTrip", "AutoencodingCodec", "LatentCodec"]


class Against(Configured, ABC):
    """What a normal latent is held against, and where."""

    def decode(self, codec: "AutoencodingCodec", x_0: Encoded) -> Tensor:
        """From model space to where the two are compared: pixels by default."""
        return codec.pixels(x_0)

    @abstractmethod
    def reference(self, codec: "AutoencodingCodec", image: Images, x_0: Encoded) -> Tensor:
        """What a perfect reconstruction would be."""

    def in_model_space(self, codec: "AutoencodingCodec", decoded: Tensor) -> Encoded:
        """What was decoded, encoded again."""
        return codec.encode(decoded)

    def picture(self, codec: "AutoencodingCodec", decoded: Tensor) -> Images:
        """Pixels of what was decoded."""
        return decoded


class AgainstInput(Against):
    """The image itself: what the autoencoder cannot draw counts as a difference."""

    def reference(self, codec: "AutoencodingCodec", image: Images, x_0: Encoded) -> Tensor:
        """The image."""
        return image


class AgainstRoundTrip(Against):
    """The image as the autoencoder draws it, D(E(image)): its own error cancels, and so does what it never saw.

    Reference: Beizaee et al., "Correcting Deviations from Normality" (DeCo-Diff), 2025, which compares so.

    Differs from the paper: the difference stands alone, theirs is cut and multiplied by one of latents.
    """

    def reference(self, codec: "AutoencodingCodec", image: Images, x_0: Encoded) -> Tensor:
        """The image, encoded and decoded."""
        return codec.pixels(x_0)


class AgainstLatents(Against):
    """The latent of the image: nothing is decoded to be compared."""

    def decode(self, codec: "AutoencodingCodec", x_0: Encoded) -> Tensor:
        """The latent itself."""
        return x_0

    def reference(self, codec: "AutoencodingCodec", image: Images, x_0: Encoded) -> Tensor:
        """The latent of the image."""
        return x_0

    def in_model_space(self, codec: "AutoencodingCodec", decoded: Tensor) -> Encoded:
        """The latent itself."""
        return decoded

    def picture(self, codec: "AutoencodingCodec", decoded: Tensor) -> Images:
        """Latents, decoded."""
        return codec.pixels(decoded)


class AutoencodingCodec(Codec):
    """A space from which pixels can be decoded, and a choice of what is compared.

    Args:
        against: what reconstructions are compared with; the image if not given.
    """

    def __init__(self, against: Against | None = None) -> None:
        super().__init__()
        self.against = against or AgainstInput()

    @abstractmethod
    def pixels(self, x_0: Encoded) -> Images:
        """Decoded pixels in [-1, 1]."""

    def decode(self, x_0: Encoded) -> Tensor:
        """To where image and reconstruction are compared."""
        return self.against.decode(self, x_0)

    def reference(self, image: Images, x_0: Encoded) -> Tensor:
        """What reconstructions are compared with."""
        return self.against.reference(self, image, x_0)

    def in_model_space(self, decoded: Tensor) -> Encoded:
        """Latents of what is compared."""
        return self.against.in_model_space(self, decoded)

    def picture(self, decoded: Encoded, size: Sequence[int]) -> Images:
        """Pixels."""
        return self.against.picture(self, decoded)


class LatentCodec(AutoencodingCodec):
    """Latents, each channel of zero mean and unit variance over normal images.

    x_0 = (E(image) - mean) / std

    The autoencoder is frozen, and no checkpoint holds it; mean and std are in the checkpoint.

    Args:
        autoencoder: E and D.
        against: what reconstructions are compared with; the image if not given.
    """

    offset: Tensor
    std: Tensor
    count: Tensor

    def __init__(self, autoencoder: Autoencoder, against: Against | None = None) -> None:
        super().__init__(against)
        freeze(autoencoder.eval())
        self.autoencoder = autoencoder
        self.identity = identity(autoencoder)
        self.register_buffer("offset", torch.zeros(autoencoder.channels))
        self.register_buffer("std", torch.ones(autoencoder.channels))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @property
    def fitted(self) -> bool:
        """Whether mean and std are known."""
        return bool(self.count > 0)

    @torch.no_grad()
    def latent(self, image: Images) -> Encoded:
        """The latent as the autoencoder has it."""
        return self.autoencoder.encode(image)

    def moments(self, image: Images, valid: Masks | None = None) -> Tensor:
        """Sums over images and valid positions of 1, latent, latent^2, (3, channels); they add up over batches."""
        return self.latent_moments(self.latent(image), valid)

    def latent_moments(self, latent: Encoded, valid: Masks | None = None) -> Tensor:
        """The same, of latents that are known."""
        values = latent.double().transpose(0, 1).flatten(1)
        if valid is not None:
            values = values[:, inside(valid, latent.shape[-2:]).flatten()]
        return torch.stack([torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)])

    def fit(self, moments: Tensor) -> None:
        """Find mean and std from summed `moments`."""
        count, total, squares = moments
        mean = total / count
        self.offset.copy_(mean)
        self.std.copy_((squares / count - mean.square()).clamp(min=1e-12).sqrt())
        self.count.copy_(count[0])

    def encode(self, image: Images) -> Encoded:
        """Normalised latents (B, channels, H / factor, W / factor)."""
        return self.normalised(self.latent(image))

    def normalised(self, latent: Encoded) -> Encoded:
        """A latent in units of the std of its channel."""
        return (latent - self.offset[:, None, None]) / self.std[:, None, None]

    def pixels(self, x_0: Encoded) -> Images:
        """Decoded pixels in [-1, 1]."""
        return self.autoencoder.pixels(x_0 * self.std[:, None, None] + self.offset[:, None, None])
