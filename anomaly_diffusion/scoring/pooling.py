"""Pooling: from an anomaly map to one score per image."""

from abc import ABC, abstractmethod

from torch import Tensor

from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Maps, Masks, Scores

__all__ = ["MaxPooling", "Pooling", "TopKMean"]


class Pooling(Configured, ABC):
    """One number per image, from the pixels that belong to the photograph."""

    @abstractmethod
    def __call__(self, anomaly_map: Maps, valid: Masks) -> Scores:
        """Score of each image."""


class MaxPooling(Pooling):
    """The worst pixel."""

    def __call__(self, anomaly_map: Maps, valid: Masks) -> Scores:
        """Score of each image."""
        return _valid_only(anomaly_map, valid).amax(1)


class TopKMean(Pooling):
    """The mean of the worst pixels: steadier than the maximum.

    Args:
        share: share of the valid pixels that count, in (0, 1].
    """

    def __init__(self, share: float = 0.002) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"`share` must lie in (0, 1], got {share}.")
        self.share = share

    def __call__(self, anomaly_map: Maps, valid: Masks) -> Scores:
        """Score of each image."""
        ranked = _valid_only(anomaly_map, valid).sort(1, descending=True).values
        counts = (valid.flatten(1).sum(1) * self.share).ceil().clamp(min=1)
        chosen = counts[:, None] > ranked.new_ones(ranked.shape).cumsum(1) - 1
        return ranked.masked_fill(~chosen, 0).sum(1) / counts


def _valid_only(anomaly_map: Maps, valid: Masks) -> Tensor:
    return anomaly_map.masked_fill(~valid, float("-inf")).flatten(1)
