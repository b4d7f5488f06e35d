"""Trivial detectors that stand beside every result: a model is worth what it adds to them.

Each control knows normal training images at most by mean and standard deviation. Two are maps, |image - something|;
four are single numbers of the grey image. A data set in which one of them does well has a shortcut, and a reader must
know.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from anomaly_diffusion.types import ImageBatch, Images, Maps, Masks, Scores

STATISTICS = ("brightness", "contrast", "sharpness")
_BAND = 1 << 20  # pixels
NO_IMAGE = torch.Size([0])  # shape of the sum of images of several sizes
BLUR = 1 / 32  # standard deviation of the blur relative to the shorter side: 2 px at 64 px


@dataclass(frozen=True)
class Normals:
    """Sums over normal images, from which their mean image and the standard deviations of their statistics follow.

    Args:
        count: number of images.
        image: (C, H, W) sum of the images; empty where they have several sizes.
        total: (3,) sum of their statistics, float64.
        square: (3,) sum of the squares, float64.
    """

    count: Tensor
    image: Tensor
    total: Tensor
    square: Tensor

    @classmethod
    def of(cls, batch: ImageBatch) -> "Normals":
        """The sums over the normal images of a batch."""
        image, valid = batch.image[~batch.label], batch.valid[~batch.label]
        values = statistics(image, valid).double().cpu()
        count = torch.tensor(len(image), dtype=torch.float64)
        return cls(count, image.sum(0).float().cpu(), values.sum(0), values.square().sum(0))

    def __add__(self, other: "Normals") -> "Normals":
        alike = self.image.shape == other.image.shape
        image = self.image + other.image if alike else self.image.new_zeros(NO_IMAGE)
        return Normals(self.count + other.count, image, self.total + other.total, self.square + other.square)

    def mean_image(self) -> Tensor:
        """The mean of the images, (C, H, W)."""
        return self.image / self.count.to(self.image.dtype)

    def distance(self, values: Tensor) -> Tensor:
        """How many standard deviations of normal images the statistics (B, 3) lie from their mean, either way."""
        mean = self.total / self.count
        std = (self.square / self.count - mean**2).clamp(min=1e-12).sqrt()
        return (values - mean.to(values)).abs() / std.to(values)


def statistics(image: Images, valid: Masks) -> Tensor:
    """Brightness, contrast and sharpness of each grey image, (B, 3): mean, deviation, deviation of the Laplacian."""
    grey = image.float().mean(1, keepdim=True)
    kernel = grey.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    inside = _convolved(valid.to(grey), kernel.abs().sign()) == 5  # pixels whose four neighbours are valid as well
    brightness, contrast = _moments(grey, valid)
    _, sharpness = _moments(_convolved(grey, kernel), inside)
    return torch.stack([brightness, contrast, sharpness], dim=1)


def blurred_self(image: Images, valid: Masks) -> Maps:
    """|image - blurred image|, mean over channels: finds whatever is small or sharp."""
    sigma = min(image.shape[-2:]) * BLUR
    weight = _blur(valid.to(image), sigma).clamp(min=1e-6)  # what the blur draws from outside the photograph is missing
    return (image - _blur(image * valid, sigma) / weight).abs().mean(1, keepdim=True) * valid


def mean_image(image: Images, valid: Masks, normals: Normals) -> Maps:
    """|image - mean of normal images|, mean over channels: finds whatever is somewhere else."""
    return (image - normals.mean_image().to(image)).abs().mean(1, keepdim=True) * valid


def control_maps(batch: ImageBatch, normals: Normals | None) -> dict[str, Maps]:
    """The controls that say where; without normal images to compare with, only those that need none."""
    image = batch.image.float()
    maps = {"blurred_self": blurred_self(image, batch.valid)}
    if normals is None or normals.image.shape == NO_IMAGE:
        return maps
    return maps | {"mean_image": mean_image(image, batch.valid, normals)}


def control_scores(batch: ImageBatch, normals: Normals | None) -> dict[str, Scores]:
    """The controls that give a number only: raw brightness, and each statistic's distance from normal images."""
    values = statistics(batch.image, batch.valid)
    raw = {"brightness_raw": values[:, 0]}
    return raw if normals is None else dict(zip(STATISTICS, normals.distance(values).unbind(1), strict=True)) | raw


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """By 3 x 3 pixels; large images in bands, as a convolution takes many times their room, but in exported graphs."""
    if torch.compiler.is_exporting():  # for images of any size
        return F.conv2d(x, kernel)
    band = max(1, _BAND // x.shape[-1])
    bands = [x[..., top : top + band + 2, :] for top in range(0, max(1, x.shape[-2] - 2), band)]
    return torch.cat([F.conv2d(part, kernel) for part in bands], dim=-2)


def _moments(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    weight = valid.to(x) / valid.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = (x * weight).sum((1, 2, 3), keepdim=True)
    return mean.flatten(), ((x - mean).square() * weight).sum((1, 2, 3)).sqrt()


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, unscaled, zeros outside: a matrix from either side, so that its cost does not grow with sigma."""
    rows, columns = (_kernel(side, sigma, x) for side in x.shape[-2:])
    return rows @ x @ columns


def _kernel(side: int, sigma: float, x: Tensor) -> Tensor:
    place = torch.arange(side, device=x.device, dtype=x.dtype)
    return (-0.5 * ((place[:, None] - place) / sigma) ** 2).exp()
