"""Finer counts where scores crowd: the second look that a histogram's fullest bins get.

A bin of `ScoreHistogram` grows wider as scores spread, wherever they spread to, and may come to hold most pixels: that
of probabilities near 1, once a few others lie near 0. No histogram whose bins follow from the scores alone, in whatever
order they arrive, can prevent that: it must widen its bins for the first few scores that lie apart, and cannot narrow
them again. So a bin that proves to be crowded gets finer ones beneath it, `FAN` of 128 or of 1 neighbouring keys, which
count from then on; pixels counted before are known to lie somewhere in it.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from anomaly_diffusion.metrics.curves import ThresholdCounts
from anomaly_diffusion.metrics.histogram import BINS, PAGE_BITS, ROWS, VACANT, ScoreHistogram, key_score, towers

CROWDED = 2e-3
"""A bin is crowded if it holds more than this share of all pixels that score at least as much."""
FAN_BITS = 7
FAN = 1 << FAN_BITS
_RATE = 0.05  # the least false-positive rate up to which a figure is an area
_FLOOR = 3e-4  # bins with at most this share of the defective pixels are left alone
_BLOCK = 64  # bins that the first look takes together
_SLACK = 1.25  # growth of a bin's count that calls for another look
_ROOT = 32 - 2 * FAN_BITS  # bits of a key that name its upper node
_SIZE = ROWS * FAN
_MOST = float(1 << 62)  # more than any count

Pixels = tuple[Int32[Tensor, " _"], Int64[Tensor, " _"], Int64[Tensor, " _"]]
"""Keys of pixels, which of them are defective, and the shares of those: what `ScoreHistogram.add` takes."""


class Outline(NamedTuple):
    """Thresholds as they probably are, and the two orders within bins between which the truth lies.

    Attributes:
        likely: pixels of a bin are spread as those that were counted in more detail.
        best: defective pixels score as much as is possible, normal ones as little.
        worst: the reverse.
    """

    likely: ThresholdCounts
    best: ThresholdCounts
    worst: ThresholdCounts


class _Bins(NamedTuple):
    """K bins of 2^bits keys from `start` on; counts of normal and defective pixels and shares of regions."""

    start: Int64[np.ndarray, " K"]
    bits: Int64[np.ndarray, " K"]
    counts: Int64[np.ndarray, "K 3"]

    @property
    def total(self) -> Int64[np.ndarray, " K"]:
        """All pixels."""
        total: Int64[np.ndarray, " K"] = self.counts[:, 0] + self.counts[:, 1]
        return total

    def at(self, chosen: np.ndarray) -> "_Bins":
        """Some of them."""
        return _Bins(*(field[chosen] for field in self))

    def joined(self, *others: "_Bins") -> "_Bins":
        """These and others, lowest first."""
        fields = [np.concatenate(parts) for parts in zip(self, *others, strict=True)]
        return _Bins(*fields).at(np.argsort(fields[0], kind="stable"))

    def merged(self) -> "_Bins":
        """The same with one bin for neighbours without defective pixels, which no figure tells apart."""
        found: Bool[np.ndarray, " K"] = self.counts[:, 1] > 0
        first = np.flatnonzero(found | np.append(True, found[:-1])[: len(found)])
        counts = np.add.reduceat(self.counts, first, axis=0) if len(first) else self.counts
        return _Bins(self.start[first], self.bits[first] * found[first], counts)

    def parent_of(self, finer: "_Bins") -> Int64[np.ndarray, " L"]:
        """Which of these, which are disjoint and in order, holds each of the finer; -1 where none does."""
        place = np.searchsorted(self.start, finer.start, side="right") - 1
        if not len(self.start):
            return place
        return np.where((place >= 0) & (finer.start < self.start[place] + (1 << self.bits[place])), place, -1)


@dataclass
class Magnifier:
    """Counts of pixels by score, in a tree of two storeys: the bins of upper nodes hold `FAN` keys, of lower ones one.

    Attributes:
        nodes: twice the key without the low bits that the node tells apart, plus one for a lower node; `VACANT` for
            the rest.
        counts: all pixels, defective pixels and shares of regions, by node and bin.
    """

    nodes: Int64[Tensor, " H"]
    counts: Int64[Tensor, "H 3 fan"]

    def __post_init__(self) -> None:
        self._index()

    @property
    def used(self) -> int:
        """Number of nodes in use; they come first."""
        return int((self.nodes != VACANT).sum())

    def add(
        self, key: Int32[Tensor, " N"], defective: Int64[Tensor, " n"], share: Int64[Tensor, " n"], since: int = 0
    ) -> None:
        """Count those pixels that have a node, as `ScoreHistogram.add` does; in nodes from number `since` on."""
        if self.used <= since:
            return
        one = self.counts.new_ones(1)
        found = key.index_select(0, defective)
        self._count(key, 0, one.expand(len(key)), since)
        self._count(found, 1, one.expand(len(found)), since)
        self._count(found, 2, share, since)

    def open(self, codes: Int64[np.ndarray, " n"]) -> None:
        """Take nodes into use, as far as there is room."""
        used = self.used
        fresh = torch.from_numpy(codes).to(self.nodes)
        fresh = fresh[~torch.isin(fresh, self.nodes[:used])][: len(self.nodes) - used]
        self.nodes[used : used + len(fresh)] = fresh
        self._index()

    def close(self, kept: Int64[np.ndarray, " n"]) -> None:
        """Give up the upper nodes whose keys do not begin like any of `kept`, and what is beneath them."""
        used = self.used
        prefix = (self.nodes[:used] >> 1) >> FAN_BITS * (self.nodes[:used] & 1)
        keep = torch.isin(prefix, torch.from_numpy(kept).to(prefix))
        left = int(keep.sum())
        self.counts[:left], self.nodes[:left] = self.counts[:used][keep], self.nodes[:used][keep]
        self.counts[left:used], self.nodes[left:used] = 0, VACANT
        self._index()

    def joined(self, other: "Magnifier") -> "Magnifier":
        """The counts of both."""
        nodes = torch.cat([self.nodes[: self.used], other.nodes[: other.used]])
        nodes, slot = nodes.unique(return_inverse=True)
        counts = torch.cat([self.counts[: self.used], other.counts[: other.used]])
        return Magnifier(nodes, counts.new_zeros(len(nodes), ROWS, FAN).index_add_(0, slot, counts))

    def bins(self, lower: bool) -> _Bins:
        """Those of one storey that hold pixels, lowest first."""
        nodes, counts = (part[: self.used].cpu().numpy() for part in (self.nodes, self.counts))
        chosen = nodes.argsort()
        chosen = chosen[(nodes[chosen] & 1) == lower]
        node, place = counts[chosen, 0].nonzero()
        bits = 0 if lower else FAN_BITS
        start = ((nodes[chosen] >> 1)[node] * FAN + place) << bits
        total, defective, share = counts[chosen].transpose(1, 0, 2)[:, node, place]
        return _Bins(start, np.full_like(start, bits), np.stack([total - defective, defective, share], axis=-1))

    def _count(self, key: Int32[Tensor, " N"], row: int, amount: Int64[Tensor, " N"], since: int) -> None:
        key, amount = _where((key >= self._least) & (key <= self._most), key, amount)
        node = self._upper.index_select(0, (key >> 2 * FAN_BITS) + (1 << _ROOT - 1))
        node, key, amount = _where(node >= 0, node, key, amount)
        place = (key >> FAN_BITS) & (FAN - 1)
        self._put(node, row * FAN + place, amount, since)
        node = self._lower.index_select(0, node * FAN + place)
        node, key, amount = _where(node >= 0, node, key, amount)
        self._put(node, row * FAN + (key & (FAN - 1)), amount, since)

    def _put(self, node: Int32[Tensor, " N"], place: Int32[Tensor, " N"], amount: Tensor, since: int) -> None:
        if since:
            node, place, amount = _where(node >= since, node, place, amount)
        self.counts.view(-1).index_add_(0, node * _SIZE + place, amount)

    def _index(self) -> None:
        """Tabulate which node a key has in each storey; -1 where it has none."""
        used = self.used
        if not used:
            return
        code, slot = self.nodes[:used] >> 1, torch.arange(used, dtype=torch.int32, device=self.nodes.device)
        lower = (self.nodes[:used] & 1).bool()
        least, most = (int(end) for end in code[~lower].aminmax())
        self._least, self._most = least << 2 * FAN_BITS, (most + 1 << 2 * FAN_BITS) - 1
        self._upper = slot.new_full((1 << _ROOT,), -1)
        self._upper[code[~lower] + (1 << _ROOT - 1)] = slot[~lower]
        self._lower = slot.new_full((used * FAN,), -1)
        above = self._upper[(code[lower] >> FAN_BITS) + (1 << _ROOT - 1)]
        self._lower[(above * FAN + (code[lower] & (FAN - 1)))[above >= 0]] = slot[lower][above >= 0]


class Watch:
    """Looks for crowded bins, and opens nodes beneath them before pixels pile up there unresolved.

    A look at all bins takes a few milliseconds, so there is one only if the bins have changed or one of them holds more
    than it was allowed. The very pixels that made a bin crowded are counted in its nodes, too.
    """

    def __init__(self) -> None:
        self._layout = (-1, -1)
        self._allowed = self._within = torch.zeros(0, FAN)

    def follow(self, histogram: ScoreHistogram, fine: Magnifier, pixels: Sequence[Pixels]) -> None:
        """Count the pixels of several images, which `histogram` has counted, in `fine`, whose nodes it opens."""
        counted, joint, called = 0, None, self._called(histogram, fine)
        while called or fine.used > counted:
            if called:
                self._look(histogram, fine, fresh=joint is None)
            if fine.used > counted:
                joint = joint or _joint(pixels)
                fine.add(*joint, since=counted)
            counted = fine.used
            called = self._called(histogram, fine)

    def _called(self, histogram: ScoreHistogram, fine: Magnifier) -> bool:
        if histogram.sharp:
            return False
        if self._layout != (histogram.level, histogram.used):
            self._layout = histogram.level, histogram.used
            survey = Survey(histogram, _BLOCK)
            self._allowed = _as_counts(survey.by_slot(survey.limit), histogram.counts.device)
        if fine.used != len(self._within):
            return True
        counts = histogram.counts[: histogram.used, 0].unflatten(1, (-1, _BLOCK))
        return bool((counts > self._allowed).any() | (fine.counts[: fine.used, 0] > self._within).any())

    def _look(self, histogram: ScoreHistogram, fine: Magnifier, fresh: bool) -> None:
        survey, level, device = Survey(histogram), histogram.level, histogram.counts.device
        if fresh:
            fine.close(_prefixes(survey.number[survey.total > survey.limit / 2], level, 2 * FAN_BITS))
        number = survey.number[survey.total > survey.limit]
        wanted = [_prefixes(number, level, 2 * FAN_BITS) << 1]
        within = np.full((fine.used, FAN), np.inf)
        if level <= FAN_BITS:
            wanted.append((_prefixes(number, level, FAN_BITS) << 1) + 1)
        elif fine.used:
            node, counts = fine.nodes[: fine.used].cpu().numpy(), fine.counts[: fine.used].cpu().numpy()
            upper = (node & 1) == 0
            place = (node[upper, None] >> 1) * FAN + np.arange(FAN)
            total, defective = counts[upper, 0], counts[upper, 1]
            limit = survey.limit_within(place << FAN_BITS >> level, total, total - defective)
            within[upper] = np.where(total > limit, np.inf, limit)
            wanted.append((place[total > limit] << 1) + 1)
        allowed = survey.by_slot(np.where(survey.total > survey.limit, np.inf, survey.limit))
        self._allowed, self._within = _as_counts(_SLACK * allowed, device), _as_counts(_SLACK * within, device)
        fine.open(np.concatenate(wanted))


class Survey:
    """The bins of a histogram's pages, lowest first, and how much each may hold before it is crowded.

    Args:
        histogram: what is looked at.
        block: number of neighbouring bins that are taken for one, which allows a little less to each of them.
    """

    def __init__(self, histogram: ScoreHistogram, block: int = 1) -> None:
        self.pages, slot = (part.cpu().numpy() for part in histogram.pages[: histogram.used].sort())
        self._turned = slot.argsort()
        counts = (histogram.counts[: histogram.used, row].cpu().numpy()[slot].ravel() for row in range(ROWS))
        self.total, self.defective, self.share = (
            part.reshape(-1, block).sum(1) if block > 1 else part for part in counts
        )
        self.normal = self.total - self.defective
        self._whole = block == 1

    @cached_property
    def limit(self) -> Float[np.ndarray, " K"]:
        """How much each bin may hold; to bins of a block, what is allowed to the highest of them."""
        return self._limit(*(above - part * (not self._whole) for above, part in self._above))

    @cached_property
    def _above(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Pixels in each bin or above it, beside those in it: all of them, and the normal ones."""
        return tuple((part[::-1].cumsum()[::-1], part) for part in (self.total, self.normal))

    @property
    def number(self) -> Int64[np.ndarray, " K"]:
        """The bins' numbers: keys without their lowest `level` bits."""
        return ((self.pages[:, None] << PAGE_BITS) + np.arange(BINS)).ravel()

    def limit_within(self, number: np.ndarray, total: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """How much parts of the bins `number` may hold that do hold `total`, `normal` of it normal."""
        page = np.searchsorted(self.pages, number >> PAGE_BITS).clip(max=len(self.pages) - 1)
        place = page * BINS + (number & (BINS - 1))
        parts = total, normal
        return self._limit(
            *(above[place] - part[place] + own for (above, part), own in zip(self._above, parts, strict=True))
        )

    def by_slot(self, limit: np.ndarray) -> np.ndarray:
        """Limits of all bins or blocks, in the order of the histogram's pages, block by block."""
        return limit.reshape(len(self.pages), BINS // _BLOCK, -1)[self._turned]

    def _limit(self, above: np.ndarray, normal_above: np.ndarray) -> np.ndarray:
        everything, normals = (above[0] for above, _ in self._above)
        if normals:
            above = np.minimum(above, np.maximum(normal_above, _RATE * normals))
        limit: np.ndarray = np.maximum(CROWDED * above, max(1.0, _FLOOR * (everything - normals)))
        return limit


def outline(histogram: ScoreHistogram, fine: Magnifier | None = None) -> Outline:
    """The thresholds of all pixels, highest first.

    Args:
        histogram: all of them.
        fine: those of crowded bins, as far as they were seen; without it bins are not told apart any further.
    """
    survey, level = Survey(histogram), histogram.level
    hit = np.flatnonzero(survey.total)
    number = survey.number[hit]
    counts = np.stack([column[hit] for column in (survey.normal, survey.defective, survey.share)], axis=1)
    bins = _Bins(number << level, np.full(len(hit), 0 if histogram.sharp else level), counts)
    tied = towers(number, bins.total) | histogram.sharp
    if fine is None or histogram.sharp:
        fewer = bins.merged()
        return Outline(_listed(bins, tied), *(_extreme(fewer, best, disjoint=True) for best in (True, False)))
    crowded = (survey.total > survey.limit)[hit]
    plain, likely = bins.at(~crowded), fine.bins(lower=True)
    known = likely
    if level > FAN_BITS:
        upper = fine.bins(lower=False)
        full = upper.total > survey.limit_within(upper.start >> level, upper.total, upper.counts[:, 0])
        likely, known = (upper.at(~full).joined(part) for part in _refined(upper.at(full), likely, known))
    likely, known = (plain.joined(part) for part in _refined(bins.at(crowded), likely, known))
    same = likely.bits == 0
    same[np.isin(likely.start, plain.start)] |= tied[~crowded]
    return Outline(_listed(likely, same), *(_extreme(known, best, disjoint=False) for best in (True, False)))


def _refined(coarse: _Bins, likely: _Bins, known: _Bins) -> tuple[_Bins, _Bins]:
    """Put finer bins in the place of coarse ones, which stay where there are none.

    Returns:
        The finer bins with all pixels of the coarse ones, and with those counted in them; the rest keeps its width.
    """
    place = coarse.parent_of(likely)
    likely, place = likely.at(place >= 0), place[place >= 0]
    rest = coarse.counts.copy()
    np.subtract.at(rest, place, likely.counts)
    empty = np.bincount(place, minlength=len(rest)) == 0
    likely = likely._replace(counts=likely.counts + _spread(rest, likely.counts, place))
    known = known.at(coarse.parent_of(known) >= 0).joined(coarse._replace(counts=rest))
    return likely.joined(coarse.at(empty)), known


def _spread(rest: np.ndarray, counts: np.ndarray, place: np.ndarray) -> Int64[np.ndarray, "K 3"]:
    """Deal out what is left of the coarse bins to finer ones, in proportion to what was counted there."""
    dealt = np.zeros_like(counts)
    first = np.append(True, place[1:] != place[:-1])[: len(place)]
    for column, weight in enumerate(counts.T):
        missing = np.bincount(place, weight, len(rest))[place] == 0
        weight = np.where(missing, counts[:, 0] + counts[:, 1], weight).astype(np.float64)
        whole, sums = np.bincount(place, weight, len(rest))[place], np.cumsum(weight)
        begin = (sums - weight)[first][np.cumsum(first) - 1]
        up_to = np.rint(rest[place, column] * ((sums - begin) / whole)).astype(np.int64)
        dealt[:, column] = up_to - np.where(first, 0, np.roll(up_to, 1))
    return dealt


def _listed(bins: _Bins, tied: Bool[np.ndarray, " K"]) -> ThresholdCounts:
    """Bins as thresholds, highest first."""
    normal, defective, share = bins.counts[::-1].T
    threshold = key_score(bins.start[::-1]).astype(np.float64)
    return ThresholdCounts(threshold, normal, defective, share.astype(np.float64), tied[::-1])


def _extreme(bins: _Bins, best: bool, disjoint: bool) -> ThresholdCounts:
    """Thresholds (as keys) if one kind of pixels scores as much as the bins allow, and the other as little."""
    wide = bins.bits[::-1] > 0
    start, top = bins.start[::-1], bins.start[::-1] + (1 << bins.bits[::-1]) - 1
    normal, defective, share = bins.counts[::-1].T
    columns = (normal, ~wide | (not best)), (defective, ~wide | best), (share, ~wide | best)
    key = _interleaved(top, start)
    counts = [_interleaved(column * first, column * ~first) for column, first in columns]
    tied = np.repeat(~wide | best, 2)
    if not disjoint:  # what surrounds another bin begins before it and ends after it
        order = np.argsort(-_interleaved(4 * top + wide, 4 * start - wide), kind="stable")
        key, tied, *counts = (column[order] for column in (key, tied, *counts))
    return ThresholdCounts(key.astype(np.float64), counts[0], counts[1], counts[2].astype(np.float64), tied)


def _interleaved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, second], axis=1).ravel()


def _joint(pixels: Sequence[Pixels]) -> Pixels:
    """The pixels of several images as those of one."""
    keys, defective, shares = zip(*pixels, strict=True)
    begin = itertools.accumulate((len(key) for key in keys), initial=0)
    return (
        torch.cat(keys),
        torch.cat([place + at for place, at in zip(defective, begin, strict=False)]),
        torch.cat(shares),
    )


def _prefixes(number: np.ndarray, level: int, bits: int) -> Int64[np.ndarray, " n"]:
    """What is left of the keys in bins `number` without their lowest `bits` bits."""
    if level <= bits:
        return np.unique(number >> (bits - level))
    return ((number[:, None] << (level - bits)) + np.arange(1 << (level - bits))).ravel()


def _as_counts(limit: np.ndarray, device: torch.device) -> Int64[Tensor, "..."]:
    return torch.from_numpy(np.minimum(limit, _MOST).astype(np.int64)).to(device)


def _where(chosen: Tensor, *parts: Tensor) -> list[Tensor]:
    inside = chosen.nonzero()[:, 0]
    return [part.index_select(0, inside) for part in parts]
