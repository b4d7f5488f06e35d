"""Residual of the image alone: what distances from normal images find without any reconstruction."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.types import Encoded, Images, Maps, Masks

__all__ = ["RawResidual"]


class RawResidual(Residual):
    """Lets another residual judge an image as if nothing had been reconstructed: by position, or the nearest, say.

    Of features, `MahalanobisResidual` is then PaDiM's distance and `NearestResidual` PatchCore's, but for what those
    classes tell of the papers. Beside the same residuals of differences it says what diffusion adds.

    Args:
        judge: what compares; the image stands in for the difference, and zero for the reconstruction.
    """

    reads_reconstruction = False

    def __init__(self, judge: Residual) -> None:
        super().__init__()
        self.judge = judge

    @property
    def lessons(self) -> list[Any]:
        """One, where the judge learns."""
        return [self] if self.judge.learns else []

    @property
    def by_position(self) -> bool:
        """As the judge."""
        return self.judge.by_position

    def moments(
        self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"], valid: Masks, keys: Sequence[int]
    ) -> Any:
        """What the judge wants to know about normal images."""
        return self.judge.moments(reference, _nothing(reference), valid, keys)

    def fit(self, moments: Any) -> None:
        """Let the judge learn from summed `moments`."""
        self.judge.fit(moments)

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map of the image, whatever the reconstruction."""
        found: Maps = self.judge.maps(image, _nothing(image))
        return found

    def maps(self, reference: Encoded, reconstruction: Float[Tensor, "B D c h w"]) -> Float[Tensor, "B D h w"]:
        """The same map for each depth of reconstruction."""
        return self.forward(reference, reference).expand(-1, reconstruction.shape[1], -1, -1)


def _nothing(reference: Encoded) -> Float[Tensor, "B 1 c h w"]:
    return torch.zeros_like(reference)[:, None]
