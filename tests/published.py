"""What published code of PaDiM and PatchCore does, written anew in numpy, and images to hold detectors against it."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, mahalanobis

from anomaly_diffusion.types import ImageBatch

SIDE, TRAINING, TESTED = 128, 14, 20
MEAN, SPREAD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def photographs(count: int, seed: int, spoilt: bool = False) -> ImageBatch:
    """Waves that lie alike in every image, under noise; spoilt ones have a square, from hardly to plainly visible."""
    rng = np.random.default_rng(seed)
    place = np.arange(SIDE)
    wave = np.stack([np.sin(place / step)[:, None] * np.cos(place / (step + 1)) for step in (2, 3, 5)])
    image = 0.5 * wave + rng.normal(0, 0.15, (count, 3, SIDE, SIDE))
    for number in range(count if spoilt else 0):
        top, left = rng.integers(0, SIDE - 8, 2)
        image[number, :, top : top + 8, left : left + 8] += 2 * number / count
    label = torch.full((count,), spoilt)
    valid = torch.ones(count, 1, SIDE, SIDE, dtype=torch.bool)
    return ImageBatch(
        image=torch.from_numpy(image.clip(-1, 1)).float(),
        mask=torch.zeros_like(valid),
        valid=valid,
        label=label,
        category=torch.zeros(count, dtype=torch.int64),
        key=torch.arange(count) + 1000 * seed,
        size=torch.tensor([[SIDE, SIDE]]).repeat(count, 1),
        path=[f"{index}.png" for index in range(count)],
    )


def stages(network: torch.nn.Module, image: torch.Tensor) -> list[np.ndarray]:
    """Feature maps of a network that sees images as ImageNet's are standardised."""
    seen = ((image.double().numpy() + 1) / 2 - MEAN[:, None, None]) / SPREAD[:, None, None]
    with torch.no_grad():
        return [stage.double().numpy() for stage in network(torch.from_numpy(seen).float())]


def enlarged(maps: np.ndarray, size: int) -> np.ndarray:
    """Bilinear, with the centres of pixels in the middle of their squares, over the last two axes."""
    for axis in (-2, -1):
        known = (np.arange(maps.shape[axis]) + 0.5) * size / maps.shape[axis]
        maps = np.apply_along_axis(lambda row, known=known: np.interp(np.arange(size) + 0.5, known, row), axis, maps)
    return maps


def smoothed(maps: np.ndarray) -> np.ndarray:
    return np.stack([gaussian_filter(one, sigma=4) for one in enlarged(maps, SIDE)])


def padim(network, training: torch.Tensor, tested: torch.Tensor, channels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Maps and scores of PaDiM: coarse stages repeated on the fine grid, covariances regularised by 0.01."""

    def embedded(image: torch.Tensor) -> np.ndarray:
        fine, coarse = stages(network, image)
        times = fine.shape[-1] // coarse.shape[-1]
        return np.concatenate([fine, coarse.repeat(times, -1).repeat(times, -2)], axis=1)[:, channels]

    known, asked = embedded(training), embedded(tested)
    distance = np.empty((len(asked), *asked.shape[2:]))
    for row, column in np.ndindex(asked.shape[2:]):
        here = known[:, :, row, column]
        inverse = np.linalg.inv(np.cov(here, rowvar=False) + 0.01 * np.eye(len(channels)))
        distance[:, row, column] = [mahalanobis(one, here.mean(0), inverse) for one in asked[:, :, row, column]]
    maps = smoothed(distance)
    return maps, maps.max((1, 2))


def patchcore(
    network, training: torch.Tensor, tested: torch.Tensor, share: float, first: np.ndarray, neighbours: int = 9
) -> tuple[np.ndarray, np.ndarray]:
    """Maps and scores of PatchCore: 3 x 3 means, a greedy coreset that begins at `first`, the weight of Equation 7."""

    def embedded(image: torch.Tensor) -> np.ndarray:
        fine, coarse = (averaged(stage) for stage in stages(network, image))
        return np.concatenate([fine, enlarged(coarse, fine.shape[-1])], axis=1)

    known, asked = (np.moveaxis(embedded(image), 1, -1) for image in (training, tested))
    memory = coreset(known.reshape(-1, known.shape[-1]), share, first)
    maps, scores = [], []
    for patches in asked:
        distances = cdist(patches.reshape(-1, patches.shape[-1]), memory)
        nearest = distances.min(1)
        worst = nearest.argmax()
        item = memory[distances[worst].argmin()]
        around = np.argsort(cdist(item[None], memory)[0])[:neighbours]
        reach = np.exp(distances[worst, around])
        scores.append((1 - np.exp(nearest[worst]) / reach.sum()) * nearest[worst])
        maps.append(nearest.reshape(patches.shape[:2]))
    return smoothed(np.stack(maps)), np.array(scores)


def averaged(stage: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 neighbours; borders repeat."""
    padded = np.pad(stage, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).mean((-1, -2))


def coreset(patches: np.ndarray, share: float, first: np.ndarray) -> np.ndarray:
    """Each patch the farthest from those before it, beginning with the one nearest to `first`."""
    chosen = [int(cdist(first[None], patches).argmin())]
    distance = cdist(patches[chosen], patches)[0]
    while len(chosen) < np.ceil(share * len(patches)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, cdist(patches[chosen[-1:]], patches)[0])
    return patches[chosen]
