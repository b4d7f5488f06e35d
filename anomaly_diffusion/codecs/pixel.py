"""Diffusion on the pixels themselves."""

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.types import Images

__all__ = ["PixelCodec"]


class PixelCodec(Codec):
    """The identity, except that no reconstruction leaves the range of pixels."""

    def encode(self, image: Images) -> Images:
        """The image itself."""
        return image

    def decode(self, x_0: Images) -> Images:
        """The reconstruction, clipped to [-1, 1]."""
        return x_0.clamp(-1, 1)
