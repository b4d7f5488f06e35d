"""Memory bank of normal patches: random candidates, greedy coreset, nearest neighbours."""

import math
from collections.abc import Sequence
from copy import copy

import torch
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor

from anomaly_diffusion.networks.buffers import AnySize
from anomaly_diffusion.networks.in_parts import in_parts
from anomaly_diffusion.settings import Configured

__all__ = ["Candidates", "Memory", "coreset", "nearest"]

_CHUNK = 1024  # patches that are compared with the memory together: more of them only take more room
Patches = Float[Tensor, "N C"]


class Candidates:
    """A uniform random sample of the patches of many images.

    Every patch draws a lot from seed and image, and the lowest lots win: the sample is the same however the images come
    in batches or are shared among processes. Samples add up.

    Args:
        at_most: size of the sample, >= 1; None: all of them.
        seed: of the lots.
    """

    def __init__(self, at_most: int | None, seed: int) -> None:
        self.at_most, self.seed = at_most, seed
        self.seen = 0
        self.patches, self.lots = torch.empty(0), torch.empty(0, dtype=torch.float64)

    def add(self, patches: Float[Tensor, "B P ..."], inside: Bool[Tensor, "B P"], keys: Sequence[int]) -> None:
        """Let the patches `inside` images take part.

        Args:
            patches: of each image, one for each position.
            inside: those that belong to the photograph.
            keys: a number for each image that names it for good.
        """
        lots = torch.stack([self._draw(patches.shape[1], key) for key in keys])
        self.merge(patches[inside].float().cpu(), lots[inside.cpu()], int(inside.sum()))

    def __add__(self, other: "Candidates") -> "Candidates":
        """The sample of all that both have seen."""
        total = copy(self)
        total.merge(other.patches, other.lots, other.seen)
        return total

    def merge(self, patches: Float[Tensor, "N ..."], lots: Float[Tensor, " N"], seen: int) -> None:
        """Take in what another sample has kept of `seen` patches."""
        self.seen += seen
        patches = torch.cat([self.patches.reshape(-1, *patches.shape[1:]), patches])
        lots = torch.cat([self.lots, lots])
        order = lots.argsort()[: self.at_most]
        self.patches, self.lots = patches[order], lots[order]

    def _draw(self, count: int, key: int) -> Tensor:
        return torch.rand(count, dtype=torch.float64, generator=Generator().manual_seed(key ^ self.seed))


class Memory(Configured, AnySize):
    """A coreset of normal patches.

    Reference: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), 2022, section 3.2 and
    Algorithm 1, and its code.

    Differs from the paper: if nothing else is said, patches are chosen from 65536 drawn at random, and 8192 at most are
    kept, where the paper chooses from all and keeps 1, 10 or 25 %; the projection is Gaussian and onto 64 dimensions,
    theirs uniform and onto 128; the first patch is drawn at random, in the authors' code the mean distance from ten
    such patches takes the place of the distance from it.

    Args:
        share: how many of all patches of the training images are kept, in (0, 1].
        at_most: upper bound of their number, >= 1; None: no other than `share`, as in the paper.
        candidates: number of patches, drawn at random from all, from which they are chosen; >= 1. None: all, as in the
            paper; the choice takes time with their square: six minutes of one core for 1 % of 750,000.
        projected: dimensions to which candidates are projected at random for the choice; >= 1.
        seed: of what is drawn.

    Raises:
        ValueError: a number lies outside its range.
    """

    of_any_size = ("items",)
    items: Tensor

    def __init__(
        self,
        share: float = 0.1,
        at_most: int | None = 8192,
        candidates: int | None = 65536,
        projected: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"`share` must lie in (0, 1], got {share}.")
        for name, value in (("at_most", at_most), ("candidates", candidates), ("projected", projected)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        self.share, self.at_most, self.candidates = share, at_most, candidates
        self.projected, self.seed = projected, seed
        self.register_buffer("items", torch.empty(0, 0))

    @property
    def filled(self) -> bool:
        """Whether there is anything to remember."""
        return len(self.items) > 0

    def fill(self, candidates: Candidates) -> None:
        """Keep a coreset of `candidates`.

        Raises:
            ValueError: there is none.
        """
        if not candidates.seen:
            raise ValueError("No normal patch to remember. Take more training images.")
        patches = candidates.patches.to(self.items)
        count = min(math.ceil(self.share * candidates.seen), self.at_most or candidates.seen)
        self.items = coreset(patches, count, self.projected, self.seed)

    def nearest(self, patches: Patches, count: int = 1) -> Float[Tensor, "N K C"]:
        """The `count` items nearest to each patch, nearest first.

        Raises:
            RuntimeError: the memory is empty.
        """
        if not self.filled:
            raise RuntimeError("The memory is empty. Train the detector, or load a checkpoint of a finished run.")
        return self.items[nearest(self.items, patches.float(), count)]


def nearest(items: Float[Tensor, "M C"], patches: Patches, count: int = 1) -> Int64[Tensor, "N K"]:
    """Numbers of the `count` items nearest to each patch, nearest first."""
    lengths = items.square().sum(1)
    found = []
    with torch.autocast(patches.device.type, enabled=False):  # neighbours differ in the last digits
        for chunk in in_parts(patches, _CHUNK):
            squared = torch.addmm(lengths, chunk, items.T, alpha=-2)  # less |patch|^2, alike for all items
            found.append(squared.topk(count, largest=False).indices)
    return torch.cat(found)


def coreset(patches: Patches, count: int, projected: int, seed: int) -> Float[Tensor, "M C"]:
    """Up to `count` of `patches`, far from one another.

    Args:
        patches: the candidates.
        count: how many are kept, where there are so many.
        projected: dimensions to which candidates are projected at random for the choice.
        seed: of what is drawn.
    """
    generator, points, channels = Generator().manual_seed(seed), patches, patches.shape[1]
    if channels > projected:
        axes = torch.randn(channels, projected, generator=generator) / math.sqrt(projected)
        points = patches @ axes.to(patches)
    return patches[greedy_coreset(points, min(count, len(patches)), generator)]


def greedy_coreset(points: Patches, count: int, generator: Generator) -> Int64[Tensor, " count"]:
    """Numbers of `count` points, each the farthest from those before it; the first is drawn at random.

    next = argmax_p min_m |p - m|^2

    Reference: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", 2018,
    Algorithm 1.

    Differs from the paper: no point is given to begin with, the first is drawn.
    """
    points = points - points.mean(0)
    lengths = points.square().sum(1)
    distance = torch.full_like(lengths, torch.inf)
    chosen = torch.randint(len(points), (count,), generator=generator).to(points.device)
    for place in range(count):
        if place:
            chosen[place] = distance.argmax()
        last = points[chosen[place]]
        torch.minimum(distance, torch.addmv(lengths, points, last, alpha=-2) + last @ last, out=distance)
        distance[chosen[place]] = -torch.inf  # rounding must not let it be chosen again
    return chosen
