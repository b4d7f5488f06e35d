"""Spectra over many images: what frequencies images have, and what is left of them at each depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from anomaly_diffusion.measures.spectra import BANDS, frequencies, radial_spectra, retained
from anomaly_diffusion.types import ImageBatch, Labels, Masks, Prediction

__all__ = ["Spectra", "SpectraSum", "spectra_of"]


class Spectra(NamedTuple):
    """Radial power spectra of a batch on its normal pixels.

    Attributes:
        image: of the image.
        reference: of what a perfect reconstruction would be.
        reconstruction: of the reconstruction at each depth.
    """

    image: Float[Tensor, "B K"]
    reference: Float[Tensor, "B K"]
    reconstruction: Float[Tensor, "B D K"]

    def over(self, chosen: Labels) -> "SpectraSum":
        """The sums over some of the images."""
        stacked = torch.cat([self.image[:, None], self.reference[:, None], self.reconstruction], dim=1)
        return SpectraSum(int(chosen.sum()), stacked[chosen].double().sum(0).cpu())


@dataclass(frozen=True)
class SpectraSum:
    """Sums of spectra over images, which add up over batches and processes.

    Args:
        count: number of images.
        total: of the images, of their references, and of the reconstructions at each depth.
    """

    count: int
    total: Float64[Tensor, "2+D K"]

    def __add__(self, other: "SpectraSum") -> "SpectraSum":
        return SpectraSum(self.count + other.count, self.total + other.total)

    def mean(self) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        """Mean spectrum of the images, of their references, and of each depth."""
        image, reference, *reconstruction = self.total / self.count
        return image, reference, reconstruction

    def frequencies(self) -> Float64[Tensor, " K"]:
        """Middles of the intervals, in cycles per pixel."""
        return frequencies(self.total.shape[-1])

    def as_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Mean power by frequency, and the share that reconstructions keep of it in each band.

        Args:
            names: of the depths.
        """
        image, reference, reconstruction = self.mean()
        named = dict(zip(names, reconstruction, strict=True))
        kept = {name: retained(reference, power) for name, power in named.items()}
        kept |= {"codec alone": retained(image, reference)}
        powers = {"image": image, "reference": reference} | named
        return {
            "normal_images": self.count,
            "cycles_per_pixel": self.frequencies().tolist(),
            "power": {name: power.tolist() for name, power in powers.items()},
            "retained": {name: dict(zip(BANDS, shares.tolist(), strict=True)) for name, shares in kept.items()},
        }


def spectra_of(batch: ImageBatch, prediction: Prediction, normal: Masks) -> Spectra:
    """The spectra of a batch of photographs on its `normal` pixels."""
    same = prediction.reference is batch.image or torch.equal(prediction.reference, batch.image)
    shown = [prediction.reference[:, None], prediction.reconstruction] + ([] if same else [batch.image[:, None]])
    powers = radial_spectra(torch.cat([pictures.float().mean(2) for pictures in shown], dim=1), normal)
    D = prediction.reconstruction.shape[1]
    return Spectra(image=powers[:, 0 if same else -1], reference=powers[:, 0], reconstruction=powers[:, 1 : D + 1])
