"""Encoding cache: training photographs in model space, kept in memory."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from anomaly_diffusion.types import Encoded, ImageBatch, Images

__all__ = ["EncodingCache"]


class EncodingCache:
    """Several augmented views of each photograph in model space, in half precision.

    Args:
        views: number of views of each photograph, >= 0.

    Raises:
        ValueError: `views` is negative.
    """

    def __init__(self, views: int) -> None:
        if views < 0:
            raise ValueError(f"`views` must not be negative, got {views}.")
        self.views = views
        self._kept: dict[int, list[Tensor]] = defaultdict(list)
        self._size: torch.Size | None = None  # of the frames that were encoded

    def keep(self, batch: ImageBatch, x_0: Encoded) -> None:
        """Keep one more view of each photograph of a batch."""
        self._size = batch.image.shape[-2:]
        for key, encoded in zip(batch.key.tolist(), x_0.half().cpu(), strict=True):
            if len(self._kept[key]) < self.views:
                self._kept[key].append(encoded)

    def take(self, batch: ImageBatch, numbers: list[int], encode: Callable[[Images], Encoded]) -> Encoded:
        """A view of each photograph of a batch; all are encoded if one was never kept, or kept of a crop only.

        Args:
            batch: the photographs.
            numbers: which view of each, modulo the number of views.
            encode: from pixels to model space.
        """
        keys = batch.key.tolist()
        if batch.image.shape[-2:] != self._size or not all(key in self._kept for key in keys):
            return encode(batch.image)
        views = [self._kept[key][number % len(self._kept[key])] for key, number in zip(keys, numbers, strict=True)]
        return torch.stack(views).to(batch.image)
