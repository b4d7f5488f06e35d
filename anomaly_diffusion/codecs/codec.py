"""Base class of codecs, encode and decode, and the codec of pixel diffusion."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from anomaly_diffusion.types import Encoded, Images, Masks

__all__ = ["Codec", "PixelCodec"]


class Codec(nn.Module, ABC):
    """The space in which diffusion runs; the rest of the house never learns which one it is."""

    photographs: ClassVar[bool] = True
    """Whether `picture` shows photographs; False for colours that stand for something else, such as features."""

    @property
    def fitted(self) -> bool:
        """Whether the codec knows what it must know about normal images."""
        return True

    def moments(self, image: Images, valid: Masks | None = None) -> Tensor:
        """What the codec wants to know about normal images; it adds up over batches and processes.

        Args:
            image: the images.
            valid: pixels that belong to the photographs; all if None.
        """
        raise NotImplementedError

    def fit(self, moments: Tensor) -> None:
        """Learn from summed `moments`; codecs that are fitted from the start have no need of it."""
        raise NotImplementedError

    @abstractmethod
    def encode(self, image: Images) -> Encoded:
        """From pixels in [-1, 1] to model space."""

    @abstractmethod
    def decode(self, x_0: Encoded) -> Tensor:
        """From model space to where image and reconstruction are compared."""

    def reference(self, image: Images, x_0: Encoded) -> Tensor:
        """What a perfect reconstruction of `image`, in model space `x_0`, is decoded to: the image by default."""
        return image

    def in_model_space(self, decoded: Tensor) -> Encoded:
        """What was decoded, or is a `reference`, in model space again: encoded where pixels are compared."""
        return self.encode(decoded)

    def picture(self, decoded: Encoded, size: Sequence[int]) -> Images:
        """Pixels in [-1, 1] of `size` that show what was decoded to people."""
        return decoded


class PixelCodec(Codec):
    """The identity, except that no reconstruction leaves the range of pixels."""

    def encode(self, image: Images) -> Images:
        """The image itself."""
        return image

    def decode(self, x_0: Images) -> Images:
        """The reconstruction, clipped to [-1, 1]."""
        return x_0.clamp(-1, 1)
