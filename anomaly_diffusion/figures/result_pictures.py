"""What can be drawn of a judged image, taken from a batch: without padding, on the CPU, small enough to be kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.types import ImageBatch, Prediction

__all__ = ["Compared", "ResultPictures", "box", "by_depth", "cut", "pixels", "result_pictures"]

_LONGEST = 2048  # pixels of a side


@dataclass(frozen=True)
class Compared:
    """What a detector compares.

    Args:
        photographs: whether references and reconstructions are photographs, not features.
        depths: those of the reconstructions, if they mean anything.
    """

    photographs: bool = True
    depths: Sequence[float] = ()


@dataclass(frozen=True)
class ResultPictures:
    """The pictures of one judged image, for one reconstruction; pixels in [0, 1], one or three channels, in float16.

    Args:
        path: of the image, relative to the root of the data set.
        label: whether it is defective.
        score: image anomaly score.
        image: the image.
        mask: pixels of the true defect.
        reference: what a perfect reconstruction would be.
        reconstruction: what was found.
        anomaly_map: in standard deviations of normal images.
        photographs: whether reference and reconstruction are; else both are features, in the same false colours.
        depth: of the reconstruction, in words; nothing where there is but one.
        map_depth: that of the map.
    """

    path: str
    label: bool
    score: float
    image: Float[ndarray, "H W C"]
    mask: Bool[ndarray, "H W"]
    reference: Float[ndarray, "H W C"]
    reconstruction: Float[ndarray, "H W C"]
    anomaly_map: Float[ndarray, "H W"]
    photographs: bool = True
    depth: str = ""
    map_depth: str = ""

    @property
    def peak(self) -> tuple[int, int]:
        """Column and row of the largest value of the map."""
        row, column = divmod(int(self.anomaly_map.argmax()), self.anomaly_map.shape[1])
        return column, row

    @property
    def peaks_high(self) -> bool:
        """Whether that is in the upper half, so that names belong below."""
        return self.peak[1] < len(self.anomaly_map) / 2


def result_pictures(
    prediction: Prediction, batch: ImageBatch, index: int, depth: int | None = None, compared: Compared | None = None
) -> ResultPictures:
    """The pictures of one image of a batch; those of a photograph with tiles are shrunk to a size that people look at.

    Args:
        prediction: the verdict on the batch.
        batch: the images.
        index: which of them.
        depth: index of a depth whose reconstruction and map are taken; None takes the reconstruction of the middle
            depth, which is "the reconstruction" on every picture, and the map that fuses all of them.
        compared: what the detector compares; None: photographs, of one depth.
    """
    compared = compared or Compared()
    valid = batch.valid[index]
    times = math.ceil(max(valid.shape) / _LONGEST) if batch.tiles else 1
    names = [f"depth {one:.3g}" for one in compared.depths] if len(compared.depths) > 1 else []
    shown = prediction.reconstruction.shape[1] // 2 if depth is None else depth
    anomaly_map = prediction.anomaly_map[index, 0] if depth is None else prediction.depth_maps[index, depth]
    return ResultPictures(
        path=batch.path[index],
        label=bool(batch.label[index]),
        score=float(prediction.score[index]),
        image=pixels(_means(cut(batch.image[index], valid), times)),
        mask=_largest(cut(batch.mask[index, 0], valid), times).bool().cpu().numpy(),
        reference=pixels(_means(cut(prediction.reference[index], valid), times)),
        reconstruction=pixels(_means(cut(prediction.reconstruction[index, shown], valid), times)),
        anomaly_map=_largest(cut(anomaly_map, valid), times).detach().float().cpu().numpy(),
        photographs=compared.photographs,
        depth=names[shown] if names else "",
        map_depth="" if not names else "all depths" if depth is None else names[depth],
    )


def _means(image: Float[Tensor, "C H W"], times: int) -> Float[Tensor, "C h w"]:
    """So many times smaller, each pixel the mean of those it stands for."""
    return image if times == 1 else F.avg_pool2d(image.float(), times, ceil_mode=True)


def _largest(values: Float[Tensor, "H W"], times: int) -> Float[Tensor, "h w"]:
    """Likewise, each the largest."""
    return values if times == 1 else F.max_pool2d(values.float()[None], times, ceil_mode=True)[0]


def by_depth(
    prediction: Prediction, batch: ImageBatch, index: int, compared: Compared | None = None
) -> list[ResultPictures]:
    """The pictures of one image for all depths fused, then for each depth."""
    depths = (None, *range(prediction.reconstruction.shape[1]))
    return [result_pictures(prediction, batch, index, depth, compared) for depth in depths]


def pixels(image: Float[Tensor, "C H W"]) -> Float[ndarray, "H W C"]:
    """From [-1, 1] with channels first to [0, 1] with channels last; half precision still tells 8-bit values apart."""
    values: ndarray = (image.detach().float().clamp(-1, 1).cpu().numpy() + 1) / 2
    return np.ascontiguousarray(np.moveaxis(values, 0, -1), dtype=np.float16)


def cut(tensor: Tensor, valid: Bool[Tensor, "1 H W"]) -> Tensor:
    """The part of (..., H, W) that shows the photograph, without its padding."""
    rows, columns = box(valid)
    return tensor[..., rows, columns]


def box(valid: Bool[Tensor, "1 H W"]) -> tuple[slice, slice]:
    """Rows and columns of the photograph inside its padding."""
    rows, columns = valid[0].any(1).nonzero().flatten(), valid[0].any(0).nonzero().flatten()
    if not len(rows):
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
