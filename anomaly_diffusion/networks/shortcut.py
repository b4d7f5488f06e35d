"""A way around a network for the part of its answer that is linear in its input."""

from torch import Tensor, nn

from anomaly_diffusion.networks.layers import FourierTime, zeroed
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.types import Categories, Images, Times

__all__ = ["LinearShortcut"]


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
        self.classes = backbone.classes
        self.share = nn.Sequential(FourierTime(32), nn.SiLU(), zeroed(nn.Linear(32, 1)))

    def forward(self, x_t: Images, t: Times, category: Categories | None = None) -> Images:
        """Output at time `t`."""
        share: Tensor = self.share(t)[..., None, None]
        rest: Images = self.backbone(x_t, t, category)
        return rest + share * x_t
