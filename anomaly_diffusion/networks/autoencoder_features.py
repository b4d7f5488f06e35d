"""Features of an autoencoder that was trained here: feature diffusion where there is no pre-trained network."""

import torch
from torch import Tensor

from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.features import FeatureExtractor, in_pixels
from anomaly_diffusion.types import Images

__all__ = ["AutoencoderFeatures"]


class AutoencoderFeatures(FeatureExtractor):
    """What the encoder of an autoencoder sees at each resolution on its way to the latent.

    It has seen normal images of one kind only, and was asked to draw them, not to tell things apart: a control for
    networks pre-trained on photographs, and a stand-in where there are none.

    Args:
        autoencoder: with `weights` of a run that trained it.
        stride: pixels from one position of the grid to the next.
        neighbourhood: side of the window that features are averaged over, odd.
    """

    def __init__(self, autoencoder: ConvAutoencoder, stride: int = 4, neighbourhood: int = 3) -> None:
        super().__init__(autoencoder.encoder, stride, neighbourhood)

    def stages(self, image: Images) -> list[Tensor]:
        """What each residual block puts out, finest first."""
        unshuffle, first, blocks, *_ = self.network.children()
        hidden, found = first(unshuffle(in_pixels(image))), []
        for layer in blocks.children():
            hidden = layer(hidden)
            if not isinstance(layer, torch.nn.Conv2d):  # a convolution leads from one resolution to the next
                found.append(hidden)
        return found
