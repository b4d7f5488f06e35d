"""Feature-cosine residual whose features are adapted to normal reconstructions, as in DDAD."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual
from anomaly_diffusion.types import Images, Masks, inside

__all__ = ["AdaptedCosineResidual"]


class AdaptedCosineResidual(FeatureCosineResidual):
    r"""`FeatureCosineResidual` behind a linear layer per stage, adapted to normal training images.

    DDAD fine-tunes its network so that an image and its reconstruction look alike, and distils the network it began
    with so that it forgets nothing. Here the network stays, and a layer W_j on the unit features u_j of stage j has the
    same objective, whose minimum is known:

    minimise E |W u - W v|^2 + distillation * E (|W u - u|^2 + |W v - v|^2) / 2
    W = distillation * S (D + distillation * S)^-1,  D = E (u - v)(u - v)^T,  S = E (u u^T + v v^T) / 2

    with u of an image and v of its reconstruction, both normal. Directions that reconstructions get wrong shrink, the
    others stay. Nothing depends on the order of images, on chance or on the number of processes; no test image is seen.

    Reference: Mousakhan et al., "Anomaly Detection with Conditioned Denoising Diffusion Models" (DDAD), 2023, its
    domain adaptation.

    Differs from the paper: a linear layer for each stage is fitted in closed form, where the authors train all weights
    of a wide ResNet for a number of epochs that they choose for each category; features are compared position by
    position by squared distances of unit vectors, theirs by the cosine of whole stages; the image is reconstructed as
    the detector does, theirs is guided towards another image with a weight of 3; also all that `FeatureCosineResidual`
    lists.

    Args:
        extractor: the frozen network.
        scale: how many times images are enlarged before the network sees them, >= 1.
        distillation: weight of staying what the network was, > 0; infinite: no adaptation.

    Raises:
        ValueError: a number lies outside its range.
    """

    infinite = frozenset({"distillation"})

    learns: ClassVar[bool] = True
    learnt: Tensor

    def __init__(self, extractor: FeatureExtractor, scale: int = 1, distillation: float = 0.1) -> None:
        super().__init__(extractor, scale)
        if not distillation > 0:
            raise ValueError(f"`distillation` must be positive, got {distillation}.")
        self.distillation = distillation
        with torch.no_grad():
            stages = extractor.own_grids(torch.zeros(1, 3, 16 * extractor.stride, 16 * extractor.stride))
        self.channels = [stage.shape[1] for stage in stages]
        for number, count in enumerate(self.channels):
            self.register_buffer(f"layer{number}", torch.eye(count))
        self.register_buffer("learnt", torch.tensor(False))

    def features(self, image: Images) -> list[Tensor]:
        """Unit vectors behind the layers, divided by sqrt(2 * stages).

        Raises:
            RuntimeError: nothing has been learnt.
        """
        if not self.learnt:
            raise RuntimeError("The residual has learnt nothing yet. Validate the detector once.")
        norm = (2 * len(self.channels)) ** 0.5
        turned = (
            torch.einsum("kc,bchw->bkhw", self.get_buffer(f"layer{number}"), stage)
            for number, stage in enumerate(super().features(image))
        )
        return [F.normalize(stage, dim=1) / norm for stage in turned]

    def moments(
        self, reference: Images, reconstruction: Float[Tensor, "B D C H W"], valid: Masks, keys: Sequence[int] = ()
    ) -> Tensor:
        """Sums of D and S over the photographs' positions and all depths, of one stage after the other, in a row."""
        unit = super().features
        seen = unit(self._seen(reference))
        pairs = [(seen, unit(self._seen(one))) for one in reconstruction.unbind(1)]
        sums = []
        for number in range(len(self.channels)):
            u, v = (torch.cat([pair[side][number] for pair in pairs]).double() for side in (0, 1))
            weight = inside(valid, u.shape[-2:]).unflatten(1, (1, *u.shape[-2:])).repeat(len(pairs), 1, 1, 1).to(u)
            both = (_products(u, weight) + _products(v, weight)) / 2
            sums += [_products(u - v, weight).flatten(), both.flatten()]
        return torch.cat(sums)

    def fit(self, moments: Tensor) -> None:
        """Set the layers from summed `moments`."""
        parts = moments.double().split([count**2 for count in self.channels for _ in range(2)])
        for number, count in enumerate(self.channels):
            wrong, both = (part.reshape(count, count) for part in parts[2 * number : 2 * number + 2])
            kept = self.distillation * both
            ridge = 1e-9 * (wrong + kept).diagonal().mean().clamp(min=1e-12) * torch.eye(count).to(kept)
            layer = torch.linalg.solve(wrong + kept + ridge, kept + ridge)  # transposed: all but W is symmetric
            self.get_buffer(f"layer{number}").copy_(layer.T)
        self.learnt.fill_(True)


def _products(stage: Float[Tensor, "B C h w"], weight: Float[Tensor, "B 1 h w"]) -> Float[Tensor, "C C"]:
    """Sum of the outer products of all positions."""
    columns = (stage * weight).transpose(0, 1).flatten(1)
    return columns @ columns.T
