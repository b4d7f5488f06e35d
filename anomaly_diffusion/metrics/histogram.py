"""A histogram for scores of any range: bounded memory, and the same whatever the order in which scores arrive.

A float32 is read as an integer key that sorts like it. A bin is the keys that agree but for their lowest `level` bits,
a page is `BINS` neighbouring bins, and only pages that hold a score take memory. `level` starts at 0, where every
float32 has a bin of its own, and rises by one whenever the pages run out: it is always the least level at which all
scores so far fit. That makes it (and every count) a function of the scores alone, not of their order, so histograms can
be merged as well.

Resolution is relative, so scores that crowd near a number (probabilities of 0.9999) may come to lie in few bins;
`magnifier` looks closer there.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

PAGE_BITS = 12
BINS = 1 << PAGE_BITS
ROWS = 3
"""Rows of a page: all pixels, defective pixels, shares of regions."""
MOST_GRAIN = 31
VACANT = torch.iinfo(torch.int64).min
_LOWEST, _HIGHEST = -0x7F800001, 0x7F800000  # the keys of -inf and inf; NaN lies beyond


def order_key(score: Float[Tensor, "*shape"]) -> Int32[Tensor, "*shape"]:
    """Integers that sort like the float32 `score`; 0.0 and -0.0 share one.

    Raises:
        ValueError: if a score is NaN.
    """
    key = score.float().view(torch.int32)
    if not key.numel():
        return key
    least, most = key.aminmax()
    if least < 0:  # the bits of negative numbers fall as they rise
        key = (score.float() + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
        key = (key >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(key)
        least, most = key.aminmax()
    if least < _LOWEST or most > _HIGHEST:
        raise ValueError("Scores must be numbers, got NaN. Look for a division by zero or an overflow in the maps.")
    return key


def key_score(key: Int64[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """The float32 with this key, or -inf for keys below that of -inf."""
    short: Int32[np.ndarray, " N"] = np.maximum(key, _LOWEST).astype(np.int32)
    score: Float[np.ndarray, " N"] = (short ^ ((short >> 31) & 0x7FFFFFFF)).view(np.float32)
    return score


@dataclass
class ScoreHistogram:
    """Counts of pixels by score.

    Attributes:
        level: number of low bits of a key that a bin ignores.
        pages: number of each page in use, a key without its lowest `level + PAGE_BITS` bits; `VACANT` for the rest.
        counts: all pixels, defective pixels and shares of regions, by page and bin.
        grain: number of low bits that are alike in all scores so far: 13 in those of half precision.
    """

    level: int
    pages: Int64[Tensor, " P"]
    counts: Int64[Tensor, "P 3 bins"]
    grain: int = MOST_GRAIN

    def __post_init__(self) -> None:
        if len(self.pages) < 2:
            raise ValueError(f"`pages` must be at least 2, got {len(self.pages)}.")
        self._index()

    @property
    def used(self) -> int:
        """Number of pages in use; they come first."""
        return int((self.pages != VACANT).sum())

    @property
    def sharp(self) -> bool:
        """Whether the scores in each bin are equal."""
        return self.level <= self.grain

    def add(self, key: Int32[Tensor, " N"], defective: Int64[Tensor, " n"], share: Int64[Tensor, " n"]) -> None:
        """Count pixels.

        Args:
            key: that of each pixel's score.
            defective: which of them are defective, as positions in `key`.
            share: share of its region that each of those makes up.
        """
        if not len(key):
            return
        self.grain = min(self.grain, _grain(key, self.grain))
        place = self._place(key)
        if int(place.min()) < 0:
            self._reserve((key[place < 0] >> (self.level + PAGE_BITS)).unique().long())
            place = self._place(key)
        flat = self.counts.view(-1)
        one = flat.new_ones(1)
        flat.index_add_(0, place, one.expand(len(place)))
        found = place.index_select(0, defective)
        flat.index_add_(0, found + BINS, one.expand(len(found)))
        flat.index_add_(0, found + 2 * BINS, share)

    def merge(self, other: "ScoreHistogram") -> None:
        """Add the counts of `other`, which keeps its value: the result is as if all its scores had been added here."""
        other = ScoreHistogram(other.level, other.pages.clone(), other.counts.clone())
        self.grain = min(self.grain, other.grain)
        while other.level < self.level:
            other._coarsen()
        while self.level < other.level:
            self._coarsen()
        self._reserve(other.pages[: other.used])
        while other.level < self.level:
            other._coarsen()
        slot = self._table[other.pages[: other.used] + len(self._table) // 2] // (ROWS * BINS)
        self.counts.index_add_(0, slot, other.counts[: other.used])

    def _place(self, key: Int32[Tensor, " N"]) -> Int32[Tensor, " N"]:
        """Position of each key's bin in the flat counts; negative where its page is missing."""
        place = key >> self.level
        page = (place >> PAGE_BITS).add_(len(self._table) // 2)
        return place.bitwise_and_(BINS - 1).add_(self._table.index_select(0, page))

    def _reserve(self, pages: Int64[Tensor, " n"]) -> None:
        """Make room for `pages`, given at the present level, at the least level at which all fit."""
        wanted, rise = torch.cat([self.pages[: self.used], pages]).unique(), 0
        while len(wanted) > len(self.pages):
            wanted, rise = (wanted >> 1).unique(), rise + 1
        for _ in range(rise):
            self._coarsen()
        fresh = wanted[~torch.isin(wanted, self.pages[: self.used])]
        self.pages[self.used : self.used + len(fresh)] = fresh
        self._index()

    def _coarsen(self) -> None:
        """Join bins in pairs, and with them pages; `_reserve` brings the table up to date."""
        old, used = self.pages[: self.used], self.used
        joined, slot = (old >> 1).unique(return_inverse=True)
        pairs = self.counts[:used, :, ::2] + self.counts[:used, :, 1::2]
        self.counts[:used] = 0
        self.counts.unflatten(-1, (2, BINS // 2))[slot, :, old & 1] = pairs
        self.pages.fill_(VACANT)[: len(joined)] = joined
        self.level += 1

    def _index(self) -> None:
        """Tabulate where in the flat counts each possible page begins; far below zero where it is missing."""
        size, used = 1 << max(32 - PAGE_BITS - self.level, 1), self.used
        begin = torch.arange(-1, used, dtype=torch.int32, device=self.pages.device) * (ROWS * BINS)
        self._table = begin[:1].expand(size)  # takes no memory: the largest is that of no pages, at level 0
        if used:
            self._table = self._table.index_put((self.pages[:used] + size // 2,), begin[1:])


def towers(number: Int64[np.ndarray, " K"], total: Int64[np.ndarray, " K"]) -> Bool[np.ndarray, " K"]:
    """Whether a bin holds over four times as much as either neighbour, so that its scores are taken for equal.

    Such are zeros, clipped and quantised maps. `number` rises.
    """
    beside = number[1:] - number[:-1] == 1
    below = np.append(0, total[:-1] * beside)[: len(total)]
    above = np.append(total[1:] * beside, 0)[: len(total)]
    towering: Bool[np.ndarray, " K"] = total > 4 * np.maximum(above, below)
    return towering


def _grain(key: Int32[Tensor, " N"], most: int) -> int:
    """How many low bits, up to `most`, are alike in all scores; those of a negative key are all ones."""
    if not most or not ((key ^ (key >> 31)) & ((1 << most) - 1)).any():
        return most
    bits = int(np.bitwise_or.reduce((key ^ (key >> 31)).cpu().numpy()))
    return (bits & -bits).bit_length() - 1
