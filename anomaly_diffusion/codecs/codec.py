"""The base class of all codecs."""

from torch import nn

from anomaly_diffusion.types import Images

__all__ = ["Codec"]


class Codec(nn.Module):
    """The space in which diffusion runs; the rest of the house never learns which one it is."""

    def encode(self, image: Images) -> Images:
        """From pixels in [-1, 1] to model space."""
        raise NotImplementedError

    def decode(self, x_0: Images) -> Images:
        """From model space to pixels in [-1, 1]."""
        raise NotImplementedError
