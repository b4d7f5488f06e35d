"""A histogram for scores of any range: bounded memory, and the same whatever the order in which scores arrive.

A float32 is read as an integer key that sorts like it. A bin is the keys that agree but for their lowest `level` bits,
a page is `BINS` neighbouring bins, and only pages that hold a score take memory. `level` starts at 0, where every
float32 has a bin of its own, and rises by one whenever the pages run out: it is always the least level at which all
scores so far fit. That makes it (and every count) a function of the scores alone, not of their order, so histograms can
be merged as well.

Resolution is relative, so scores that crowd just below a number (probabilities of 0.9999) are told apart less finely
than the same scores as logits.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from anomaly_diffusion.metrics.curves import ThresholdCounts

PAGE_BITS = 12
BINS = 1 << PAGE_BITS
ROWS = 3
"""Rows of a page: all pixels, defective pixels, shares of regions."""
VACANT = torch.iinfo(torch.int64).min
_LOWEST, _HIGHEST = -0x7F800001, 0x7F800000  # the keys of -inf and inf; NaN lies beyond


def order_key(score: Float[Tensor, " N"]) -> Int32[Tensor, " N"]:
    """Integers that sort like the float32 `score`; 0.0 and -0.0 share one.

    Raises:
        ValueError: if a score is NaN.
    """
    bits = (score.float() + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    key = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits)
    least, most = (int(end) for end in key.aminmax())
    if least < _LOWEST or most > _HIGHEST:
        raise ValueError(
            "Scores must be numbers, got NaN. Check the anomaly maps for a division by zero or an overflow."
        )
    return key


def key_score(key: Int64[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The float32 with this key, or -inf for keys below that of -inf."""
    key = key.clamp(min=_LOWEST).to(torch.int32)
    return (key ^ ((key >> 31) & 0x7FFFFFFF)).view(torch.float32)


@dataclass
class ScoreHistogram:
    """Counts of pixels by score.

    Attributes:
        level: number of low bits of a key that a bin ignores.
        pages: number of each page in use, a key without its lowest `level + PAGE_BITS` bits; `VACANT` for the rest.
        counts: all pixels, defective pixels and shares of regions, by page and bin.
    """

    level: int
    pages: Int64[Tensor, " P"]
    counts: Int64[Tensor, "P 3 bins"]

    def __post_init__(self) -> None:
        if len(self.pages) < 2:
            raise ValueError(f"`pages` must be at least 2, got {len(self.pages)}.")
        self._index()

    @property
    def used(self) -> int:
        """Number of pages in use; they come first."""
        return int((self.pages != VACANT).sum())

    def add(self, score: Float[Tensor, " N"], defective: Int64[Tensor, " n"], share: Int64[Tensor, " n"]) -> None:
        """Count pixels.

        Args:
            score: of every pixel; any float32 but NaN.
            defective: which of them are defective, as positions in `score`.
            share: share of its region that each of those makes up.

        Raises:
            ValueError: if a score is NaN.
        """
        if not score.numel():
            return
        key = order_key(score)
        place = self._place(key)
        if int(place.min()) < 0:
            self._reserve((key >> (self.level + PAGE_BITS)).unique().long())
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
        while other.level < self.level:
            other._coarsen()
        while self.level < other.level:
            self._coarsen()
        self._reserve(other.pages[: other.used])
        while other.level < self.level:
            other._coarsen()
        slot = self._table[other.pages[: other.used] + len(self._table) // 2] // (ROWS * BINS)
        self.counts.index_add_(0, slot, other.counts[: other.used])

    def descending(self) -> ThresholdCounts:
        """The bins that hold scores, highest first.

        Where a bin towers above both of its neighbours its scores are taken for equal: zeros, clipped, quantised maps.
        """
        order = self.pages[: self.used].argsort(descending=True)
        hit = self.counts[order, 0].flip(-1).flatten().nonzero()[:, 0]
        total, defective, share = (self.counts[order, row].flip(-1).flatten()[hit] for row in range(ROWS))
        number = self.pages[order][hit // BINS] * BINS + (BINS - 1 - hit % BINS)
        threshold = key_score(number << self.level)
        tied = torch.ones_like(total, dtype=torch.bool) if self.level == 0 else _towers(number, total)
        columns = (threshold.double(), total - defective, defective, share.double(), tied)
        return ThresholdCounts(*(column.cpu().numpy() for column in columns))

    def _place(self, key: Int32[Tensor, " N"]) -> Int32[Tensor, " N"]:
        """Position of each key's bin in the flat counts; negative where its page is missing."""
        page = (key >> (self.level + PAGE_BITS)).add_(len(self._table) // 2)
        return self._table.index_select(0, page).add_((key >> self.level).bitwise_and_(BINS - 1))

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
        pairs = self.counts[:used].unflatten(-1, (BINS // 2, 2)).sum(-1)
        self.counts[:used] = 0
        self.counts.unflatten(-1, (2, BINS // 2))[slot, :, old & 1] = pairs
        self.pages.fill_(VACANT)[: len(joined)] = joined
        self.level += 1

    def _index(self) -> None:
        """Tabulate where in the flat counts each possible page begins; far below zero where it is missing."""
        size = 1 << max(32 - PAGE_BITS - self.level, 1)
        self._table = torch.full((size,), -BINS, dtype=torch.int32, device=self.pages.device)
        begin = torch.arange(self.used, dtype=torch.int32, device=self.pages.device) * (ROWS * BINS)
        self._table[self.pages[: self.used] + size // 2] = begin


def _towers(number: Int64[Tensor, " K"], total: Int64[Tensor, " K"]) -> Tensor:
    """Whether a bin holds over four times as much as either neighbour; `number` falls."""
    beside = number[:-1] - number[1:] == 1
    edge = total.new_zeros(1)
    above = torch.cat([edge, total[:-1] * beside])
    below = torch.cat([total[1:] * beside, edge])
    return total > 4 * torch.maximum(above, below)
