"""What holds for weights of others that an exported file carries."""

from torch import nn

from anomaly_diffusion.networks.features import TimmFeatures, TorchvisionFeatures
from anomaly_diffusion.networks.pretrained import TAEF2, DiffusersAutoencoder

__all__ = ["licences"]


def licences(network: nn.Module) -> list[str]:
    """A sentence for each network of others that is part of `network`; none where all was trained by the run."""
    return sorted({said for part in network.modules() if (said := _licence(part))})


def _licence(part: nn.Module) -> str:
    if isinstance(part, TorchvisionFeatures):
        return (
            f"{part.name} of torchvision (BSD-3-Clause): its weights were learnt from other people's photographs, "
            "ImageNet's where torchvision gave them; see their owner's terms before this file is sold or passed on."
        )
    if isinstance(part, TimmFeatures):
        return (
            f"{part.name} of timm (Apache-2.0): each set of its weights has a licence of its own, named on the page "
            "of the model; see it before this file is sold or passed on."
        )
    if isinstance(part, TAEF2):
        return "TAEF2 of madebyollin (MIT)."
    if isinstance(part, DiffusersAutoencoder):
        return "An autoencoder of others: see the licence on its page before this file is sold or passed on."
    return ""
