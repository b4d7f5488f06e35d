"""Registration: parts that lie a little elsewhere on each photograph are judged where they lie on the mean one."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.scoring.motion import motion_between, moved
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images, Masks

__all__ = ["Motions", "Registration"]

Frames = Callable[[], Iterable[Images]]


class Motions(NamedTuple):
    """Where the content of the mean photograph lies in each of some others.

    Attributes:
        there: (B, 2, 3): pixel (x, y) of the mean is pixel `there @ (x, y, 1)` of the photograph.
        back: the inverse.
        mean: (C, H, W), the mean photograph.
    """

    there: Float[Tensor, "B 2 3"]
    back: Float[Tensor, "B 2 3"]
    mean: Float[Tensor, "C H W"]

    def registered(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Photographs moved onto the mean one, which shows what lies outside of them.

        Networks look beyond a border: one that went on as it ends would be the strangest thing on the photograph.
        """
        share = _sampled(torch.ones_like(images[:, :1]), self.there, "bilinear", "zeros")
        return _sampled(images, self.there, "bilinear", "border") * share + self.mean * (1 - share)

    def repeated(self, times: int) -> "Motions":
        """Each motion so many times, one after the other."""
        return self._replace(there=self.there.repeat_interleave(times, 0), back=self.back.repeat_interleave(times, 0))

    def inside(self, valid: Masks) -> Masks:
        """Which pixels of the moved photographs are of photographs."""
        return _sampled(valid.float(), self.there, "nearest", "zeros") > 0.5

    def unregistered(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Maps moved back onto their photographs; 0, as normal as can be, where the mean one does not reach."""
        return _sampled(maps, self.back, "bilinear", "zeros")


class Registration(Configured, AnySize):
    """Moves photographs onto the mean normal one before they are judged, and maps back afterwards.

    For parts that lie alike but for some pixels or degrees, as a fixture leaves them: statistics by position then
    compare what belongs together. Frames, masks, regions and files know nothing of it. A motion is looked for in each
    photograph alone, and only believed where it makes the photograph more like the mean one; `doctor` tells how far
    those of a data set move.

    How a motion is found, and after whom, `motion_between` says: phase correlation, then ECC.

    Args:
        rotation: whether parts are turned as well as shifted.
        shift: largest shift that is looked for, as a share of the longer side of the frame, in (0, 0.5].
        turn: largest rotation, in degrees, in (0, 45].

    Raises:
        ValueError: a number lies outside its range.
    """

    of_any_size = ("mean",)
    mean: Tensor

    def __init__(self, rotation: bool = True, shift: float = 0.1, turn: float = 10.0) -> None:
        super().__init__()
        if not 0 < shift <= 0.5:
            raise ValueError(f"`shift` must lie in (0, 0.5], got {shift}.")
        if not 0 < turn <= 45:
            raise ValueError(f"`turn` must lie in (0, 45], got {turn}.")
        self.rotation, self.shift, self.turn = rotation, shift, turn
        self.register_buffer("mean", torch.empty(0, 0, 0))  # (C, H, W)

    def learn(self, frames: Frames) -> None:
        """Find the mean photograph: that of frames as they are, then of frames that were moved onto it.

        Args:
            frames: gives training photographs, each time anew.
        """
        self.mean = self._mean(frames, None)
        self.mean = self._mean(frames, self.mean)

    def motions(self, images: Images) -> Motions:
        """The motion of each photograph.

        Raises:
            ValueError: nothing has been learnt, or of frames of another size.
        """
        if self.mean.shape != images.shape[1:]:
            known, given = (" x ".join(map(str, shape[-3:])) for shape in (self.mean.shape, images.shape))
            raise ValueError(f"`registration` knows a mean frame of {known} values, got {given}. Validate again.")
        there = np.stack([self._matrix(self.mean, one) for one in images])
        whole = np.concatenate([there, np.broadcast_to([[[0.0, 0.0, 1.0]]], (len(there), 1, 3))], axis=1)
        back = np.linalg.inv(whole)[:, :2]
        return Motions(torch.from_numpy(there).to(images), torch.from_numpy(back).to(images), self.mean.to(images))

    def _matrix(self, mean: Tensor, image: Tensor) -> Float[np.ndarray, "2 3"]:
        reference, shown = (one.float().mean(0).cpu().numpy() for one in (mean, image))  # grey
        return motion_between(reference, shown, self.rotation, self.shift, self.turn).matrix

    def _mean(self, frames: Frames, mean: Tensor | None) -> Tensor:
        total, count = np.zeros(()), 0
        for images in frames():
            for image in images:
                matrix = None if mean is None else self._matrix(mean, image)
                planes = image.float().cpu().numpy()
                total = total + (planes if matrix is None else np.stack([moved(one, matrix) for one in planes]))
                count += 1
        return torch.from_numpy(total / max(count, 1)).to(self.mean)


def _sampled(values: Tensor, matrices: Float[Tensor, "B 2 3"], mode: str, padding: str) -> Tensor:
    """Pixel (x, y) of the result is that at `matrix @ (x, y, 1)` of the values; exact where a matrix moves nothing."""
    height, width = values.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1).to(matrices)  # (H, W, 3)
    still = torch.eye(2, 3, dtype=matrices.dtype, device=matrices.device)
    results = []
    for one, matrix in zip(values.split(1), matrices, strict=True):
        if torch.equal(matrix, still):
            results.append(one)
            continue
        found = places @ matrix.T  # (H, W, 2), in pixels
        grid = 2 * found / found.new_tensor([max(width - 1, 1), max(height - 1, 1)]) - 1
        results.append(F.grid_sample(one, grid[None].to(one), mode, padding, align_corners=True))
    return torch.cat(results)
