"""The pixels that are measured: those of the frames that a detector sees, or those of the files."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from anomaly_diffusion.types import ImageBatch, Maps, Masks

__all__ = ["FilePixels", "FramePixels", "MeasuredPixels", "file_map"]


class MeasuredPixels(NamedTuple):
    """Some images of one size.

    Attributes:
        maps: those of every detector, by its name.
        mask: their defects.
        valid: pixels that count; all if None.
    """

    maps: dict[str, Maps]
    mask: Masks
    valid: Masks | None


class FramePixels:
    """Measures what a detector sees: frames, of one size, with masks as framed."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._size: list[int] | None = None

    def of(self, batch: ImageBatch, maps: Mapping[str, Maps]) -> Iterator[MeasuredPixels]:
        """The whole batch; pixels of a defective image without a mask are left out, as their truth is unknown."""
        self._size = list(batch.mask.shape[-2:])
        known = ~batch.label | batch.mask.flatten(1).any(1)
        chosen = {name: anomaly_map[known] for name, anomaly_map in maps.items()}
        yield MeasuredPixels(chosen, batch.mask[known], batch.valid[known])

    def described(self, use: str) -> dict[str, Any]:
        """The size, and what became of the regions of the files, where that is known.

        Args:
            use: "validation" or "test".
        """
        regions = self._data.regions(use) if hasattr(self._data, "regions") else None
        return {"size": self._size, "regions": None if regions is None else regions._asdict()}


class FilePixels:
    """Measures what a file holds: maps are brought to its size, masks are read from it, one image at a time.

    Pixels that the frame does not show, which a crop leaves, rank below all others: what is there is not found.
    """

    def __init__(self, data: Any) -> None:
        if not hasattr(data, "test_mask"):
            raise ValueError(
                f"`--metrics.size original` needs a data module that reads files (AnomalyDataModule), got {data}."
            )
        self._data = data

    def of(self, batch: ImageBatch, maps: Mapping[str, Maps]) -> Iterator[MeasuredPixels]:
        """Each image by itself, but for defective ones without a mask, whose truth is unknown; at first none at all."""
        yield MeasuredPixels({name: part[:0] for name, part in maps.items()}, batch.mask[:0], None)
        for index, size in enumerate(batch.size):
            mask = self._mask(batch, index).to(batch.image.device)
            if mask.any() or not batch.label[index]:
                sized = {name: file_map(self._data, part[index], size)[None] for name, part in maps.items()}
                yield MeasuredPixels(sized, mask[None, None], None)

    def described(self, use: str) -> dict[str, Any]:
        """The size, and the regions of the files: all are whole.

        Args:
            use: "validation" or "test".
        """
        regions = self._data.regions(use)
        whole = None if regions is None else type(regions)(regions.files, regions.files)._asdict()
        return {"size": "original", "regions": whole}

    def _mask(self, batch: ImageBatch, index: int) -> Tensor:
        height, width = batch.size[index].tolist()
        if batch.label[index]:
            return torch.from_numpy(self._data.test_mask(batch.path[index], (height, width)))
        return torch.zeros(height, width, dtype=torch.bool)


def file_map(data: Any, anomaly_map: Float[Tensor, "1 H W"], size: Int64[Tensor, "2"]) -> Float[Tensor, "1 H0 W0"]:
    """A map at the size (height, width) of its file; pixels that the frame does not show rank below all others."""
    height, width = size.tolist()
    original: Tensor = data.to_original(anomaly_map.float(), (height, width), outside=-torch.inf)
    return original
