"""The records that travel between the rooms, and the aliases for their shapes.

Letters in shapes: B images, C channels, H W pixels, c h w the same in model space, D depths, K residuals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.tiling import Tiling
from anomaly_diffusion.verdict_records import AnomalousRegion, ImageResult, Verdict

__all__ = [
    "AnomalousRegion",
    "Categories",
    "Decoded",
    "Encoded",
    "Estimate",
    "ImageBatch",
    "ImageResult",
    "Images",
    "Labels",
    "Levels",
    "Maps",
    "Masks",
    "NormalImages",
    "PerImage",
    "Places",
    "Prediction",
    "Reconstructed",
    "Region",
    "Scores",
    "Tiling",
    "Times",
    "Verdict",
    "inside",
    "like",
    "size_at",
]

Images = Float[Tensor, "B C H W"]
Encoded = Float[Tensor, "B c h w"]
Levels = list[Float[Tensor, "B _ _ _"]]
Maps = Float[Tensor, "B 1 H W"]
Masks = Bool[Tensor, "B 1 H W"]
Labels = Bool[Tensor, " B"]
Categories = Int64[Tensor, " B"]
Scores = Float[Tensor, " B"]
Places = Float[Tensor, "B 4"]
Times = Float[Tensor, " B"]


class ImageBatch(NamedTuple):
    """Photographs with what is known about them; a NamedTuple, so that collation and device transfer understand it.

    Attributes:
        image: pixels in [-1, 1].
        mask: defect pixels; all False for a defect-free image, and for a defective one whose mask is unknown.
        valid: pixels that belong to the photograph; False in the padding of a letterbox.
        label: True for a defective image.
        category: which of the data set's categories of objects the image shows; 0 where there is but one.
        key: a number that names the image for good; its noise is drawn from it, never from its place in the batch.
        size: height and width of the file, in pixels.
        path: the file, relative to the root of the data set.
        kind: "good", or the kind of defect; empty where nobody says.
        place: top, left, bottom and right of the image in its frame, which reaches from -1 to 1; None: all of it.
        tiles: how networks walk over images that they must not see at once; None: they see them whole.
        categories: names of the categories, by their numbers; empty where nobody names them.
    """

    image: Images
    mask: Masks
    valid: Masks
    label: Labels
    category: Categories
    key: Int64[Tensor, " B"]
    size: Int64[Tensor, "B 2"]
    path: list[str]
    kind: list[str] = []  # noqa: RUF012  a list as the others are; nobody adds to it
    place: Places | None = None
    tiles: Tiling | None = None
    categories: tuple[str, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """The kind of each image: "good", or that of the defect; "defect" where nobody says which."""
        kinds = self.kind or [""] * len(self.path)
        return [kind or "defect" if label else "good" for kind, label in zip(kinds, self.label.tolist(), strict=True)]

    @property
    def shows(self) -> list[str]:
        """The name of each image's category; empty where nobody names it."""
        return [self.categories[number] if self.categories else "" for number in self.category.tolist()]

    def rows(self, keep: Labels | Int64[Tensor, " K"]) -> "ImageBatch":
        """The images that `keep` marks, in their order, or those whose numbers it holds, in its order."""
        numbers = keep.nonzero()[:, 0].tolist() if keep.dtype == torch.bool else keep.tolist()
        path, kind = ([field[number] for number in numbers if field] for field in (self.path, self.kind))
        tensors = {name: field[keep] for name, field in self._asdict().items() if isinstance(field, Tensor)}
        return ImageBatch(**tensors, path=path, kind=kind, tiles=self.tiles, categories=self.categories)


@runtime_checkable
class NormalImages(Protocol):
    """What a detector asks of its data, beside the batches of its steps: all that is normal, to learn from at once."""

    def normal_batches(self, epoch: int = 0, whole: bool = True) -> Iterable[ImageBatch]:
        """Batches of all training images, the same in every process, also where only a validation runs.

        Args:
            epoch: which of the orders and augmentations.
            whole: whether frames are like those of evaluation even where training sees crops: what is learnt by
                position would lie somewhere else otherwise.
        """
        ...


class Region(NamedTuple):
    """One defect of a photograph, at the size of its file, as MVTec LOCO AD marks it.

    Attributes:
        mask: its pixels, which need not touch each other.
        saturation: number of pixels that need be found for the whole to count as found, > 0.
    """

    mask: Bool[np.ndarray, "H W"]
    saturation: float


@dataclass(frozen=True)
class Estimate:
    """What a denoiser believes: x_t = alpha_t * x_0 + sigma_t * noise."""

    x_0: Images
    noise: Images


@dataclass(frozen=True)
class Reconstructed:
    """Reconstructions of a batch in model space, one per depth.

    Attributes:
        x_0: reconstructions, shallowest first.
        nfe: number of network evaluations spent on each image.
        anomaly_maps: maps of the strategy's own, of any size, which take the place of residuals; larger is worse, >= 0.
    """

    x_0: Float[Tensor, "B D c h w"]
    nfe: int
    anomaly_maps: Float[Tensor, "B D h w"] | None = None


_Record = TypeVar("_Record", bound="PerImage")


class PerImage:
    """A dataclass whose tensors have a row for each image, as have those of records within it; all else is the same."""

    @classmethod
    def cat(cls: type[_Record], parts: Sequence[_Record]) -> _Record:
        """The record of all images of `parts`, in their order."""
        return cls(*(_cat([vars(part)[name] for part in parts]) for name in vars(parts[0])))

    def rows(self: _Record, keep: Labels | Int64[Tensor, " K"]) -> _Record:
        """The images that `keep` marks, in their order, or those whose numbers it holds, in its order."""
        return type(self)(*(_rows(value, keep) for value in vars(self).values()))


@dataclass(frozen=True)
class Decoded(PerImage):
    """A batch and its reconstructions where the codec compares them: pixels, latents or features.

    Attributes:
        reference: what a perfect reconstruction would be.
        reconstruction: what was found, one per depth, shallowest first.
        nfe: number of network evaluations spent on each image.
        anomaly_maps: as of `Reconstructed`.
        coarser: the same of the batch at each of the detector's smaller scales.
    """

    reference: Float[Tensor, "B _ _ _"]
    reconstruction: Float[Tensor, "B D _ _ _"]
    nfe: int
    anomaly_maps: Float[Tensor, "B _ _ _"] | None = None
    coarser: tuple["Decoded", ...] = ()

    @property
    def left(self) -> Float[Tensor, " B"]:
        """Mean square of what the reconstructions of each image leave of it."""
        return (self.reference[:, None] - self.reconstruction).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Prediction(PerImage):
    """The verdict on a batch.

    Attributes:
        reference: what a perfect reconstruction would look like, in pixels: the image itself where pixels are compared.
        reconstruction: reconstructions in pixels, one per depth.
        depth_maps: calibrated anomaly map of each depth, in standard deviations of normal images.
        anomaly_map: the depths fused.
        score: image anomaly score, larger is worse.
        nfe: number of network evaluations spent on each image.
    """

    reference: Images
    reconstruction: Float[Tensor, "B D C H W"]
    depth_maps: Float[Tensor, "B D H W"]
    anomaly_map: Maps
    score: Scores
    nfe: int


def _cat(values: list[Any]) -> Any:
    """Tensors and records as one, also those of tuples; of anything else the first."""
    first = values[0]
    if isinstance(first, tuple):
        return tuple(_cat(list(one)) for one in zip(*values, strict=True))
    if isinstance(first, PerImage):
        return type(first).cat(values)
    return torch.cat(values) if isinstance(first, Tensor) else first


def _rows(value: Any, keep: Tensor) -> Any:
    """Rows of a tensor, a record or each record of a tuple; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_rows(one, keep) for one in value)
    if isinstance(value, PerImage):
        return value.rows(keep)
    return value[keep] if isinstance(value, Tensor) else value


def like(scale: Tensor, x: Tensor) -> Tensor:
    """Shape a per-image `scale` () or (B,) so that it multiplies x (B, ...)."""
    return scale.reshape(scale.shape + (1,) * (x.ndim - scale.ndim)) if scale.ndim else scale


def size_at(scale: float, size: Sequence[int]) -> tuple[int, int]:
    """Height and width of a frame of `size` that is made smaller by a factor `scale`."""
    height, width = size if scale == 1 else (max(1, round(scale * side)) for side in size)
    return height, width


def inside(valid: Masks, size: Sequence[int]) -> Bool[Tensor, "B P"]:
    """Positions of a grid of that height and width that lie in the photograph for more than their half."""
    share: Tensor = F.interpolate(valid.float(), size=tuple(size), mode="area")
    return share.flatten(1) > 0.5
