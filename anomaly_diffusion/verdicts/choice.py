"""A choice among settings by painted defects, which says when validation cannot tell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

__all__ = ["LEAST", "Choice", "chosen", "order_agreement"]

LEAST = 64  # painted defects that a family needs to have a vote
_SURE = 0.9  # share of resamplings that must favour a setting over the default
_AGREEING = 0.75  # share of families
_RESAMPLINGS = 2000


@dataclass(frozen=True)
class Choice:
    """What validation says about some settings.

    Attributes:
        default: the setting that is kept unless another is better beyond doubt.
        mean_ranks: of each setting over families, 1 is best.
        means: figure of each setting in each family that has a vote, mean over photographs of means over their defects.
        best: the setting of the lowest mean rank.
        favoured: share of resamplings of photographs in which `best` has more than the default, mean over families.
        needed: what that share must be at least.
        too_few: number of painted defects of each family that has no vote.
    """

    default: str
    mean_ranks: Mapping[str, float]
    means: Mapping[str, Mapping[str, float]]
    best: str
    favoured: float
    needed: float
    too_few: Mapping[str, int]

    @property
    def agreeing(self) -> list[str]:
        """Families in which `best` has more than the default."""
        ours, theirs = self.means[self.best], self.means[self.default]
        return [family for family in ours if ours[family] > theirs[family]]

    @property
    def families_needed(self) -> int:
        """How many families must agree."""
        return math.ceil(_AGREEING * len(self.means[self.default]) - 1e-9)

    @property
    def cannot_tell(self) -> bool:
        """Whether another setting is ahead, but not beyond doubt."""
        return self.best != self.default and not (
            self.favoured >= self.needed and len(self.agreeing) >= max(1, self.families_needed)
        )

    @property
    def setting(self) -> str:
        """The one to use."""
        return self.default if self.cannot_tell else self.best

    def __str__(self) -> str:
        """The choice, and why."""
        families = len(self.means[self.default])
        if not families:
            counted = ", ".join(f"{count} {family}" for family, count in self.too_few.items()) or "none"
            told = f"no family has {LEAST} painted defects ({counted})"
            return f"validation cannot tell: {told}. Keep {self.default}, or paint more: --paintings"
        if self.best == self.default:
            return f"keep {self.default}: it is the first on validation"
        why = (
            f"{self.best} is favoured over {self.default} in {self.favoured:.0%} of resampled photographs "
            f"({self.needed:.0%} needed), and by {len(self.agreeing)} of {families} families "
            f"({self.families_needed} needed)"
        )
        return f"validation cannot tell: {why}. Keep {self.default}" if self.cannot_tell else f"{self.best}: {why}"


def chosen(
    figures: Mapping[str, Float[np.ndarray, " n"]],
    photographs: Sequence[str],
    families: Sequence[str],
    default: str,
    seed: int = 0,
) -> Choice:
    """Choose among settings by figures of the same n painted defects.

    Within a family the figure of a setting is the mean over photographs, each of them the mean over its defects.
    Settings are ordered by their mean rank over families, so that no family counts for more because its figures differ
    more. The first leaves the default only if it is favoured by three of four families and by the paired bootstrap, in
    9 of 10 resamplings: photographs are drawn with replacement, with all their defects under all settings.

    Settings that are alike are to be left undecided in 9 of 10 cases. Among m others the best is ahead of the default
    more often than one alone would be, so that 1 - .1 / m is asked for (Bonferroni); and few photographs differ less
    than all there are, so that a little more is asked for, as Hesterberg says ("What Teachers Should Know about the
    Bootstrap", 2015, section 4.3: Student's t for n photographs, as a share of a normal distribution).

    Args:
        figures: of each setting, larger is better, in the order of the defects; NaN where there is none.
        photographs: on which each defect was painted.
        families: of each defect.
        default: one of the settings.
        seed: of the resampling.

    Raises:
        ValueError: there is no other setting, no such default, or the settings have different defects.
    """
    names = list(figures)
    if default not in figures or len(names) < 2:
        raise ValueError(f"A choice needs a default and another setting, got {default} among {', '.join(names)}.")
    if {len(values) for values in figures.values()} != {len(photographs)} or len(families) != len(photographs):
        raise ValueError("Settings must be measured on the same painted defects. Validate them on one split.")
    values = np.stack([figures[name] for name in names])
    known = ~np.isnan(values).any(0)
    family, photograph = np.asarray(families)[known], np.asarray(photographs)[known]
    counts = {str(one): int((family == one).sum()) for one in np.unique(family)}
    voting = [one for one, count in counts.items() if count >= LEAST]
    too_few = {one: count for one, count in counts.items() if count < LEAST}
    needed = _needed(len(names) - 1, len(np.unique(photograph)))
    if not voting:
        nothing: dict[str, dict[str, float]] = {name: {} for name in names}
        return Choice(default, dict.fromkeys(names, math.nan), nothing, default, 0.5, needed, too_few)
    table = _by_photograph(values[:, known], photograph, family, voting)
    means = np.nanmean(table, axis=2)  # (settings, families)
    ranks = stats.rankdata(-means, axis=0).mean(1)
    first = names.index(default)
    best = first if ranks[first] == ranks.min() else int(ranks.argmin())
    return Choice(
        default,
        dict(zip(names, ranks.tolist(), strict=True)),
        {name: dict(zip(voting, row.tolist(), strict=True)) for name, row in zip(names, means, strict=True)},
        names[best],
        _favoured(table[best] - table[first], np.random.default_rng(seed)),
        needed,
        too_few,
    )


def order_agreement(validation: Mapping[str, float], test: Mapping[str, float]) -> float:
    """Kendall's tau between two orders of the same settings: 1 alike, 0 unrelated, -1 reversed; ties count by tau-b.

    Args:
        validation: a figure of each setting, larger is better.
        test: the same of the test.
    """
    names = sorted(validation)
    return float(stats.kendalltau([validation[name] for name in names], [test[name] for name in names]).statistic)


def _needed(others: int, photographs: int) -> float:
    """Share of resamplings that must favour the best of others."""
    if photographs < 2:
        return 1.0
    quantile = stats.t.ppf(1 - (1 - _SURE) / others, photographs - 1)
    return float(stats.norm.cdf(math.sqrt(photographs / (photographs - 1)) * quantile))


def _by_photograph(
    values: Float[np.ndarray, "s n"], photograph: np.ndarray, family: np.ndarray, voting: Sequence[str]
) -> Float[np.ndarray, "s f p"]:
    """Mean figure of each setting, family and photograph; NaN where a photograph has no defect of a family."""
    names, place = np.unique(photograph, return_inverse=True)
    table = np.full((len(values), len(voting), len(names)), np.nan)
    for number, one in enumerate(voting):
        own = family == one
        count = np.bincount(place[own], minlength=len(names))
        for setting, row in enumerate(values[:, own]):
            total = np.bincount(place[own], row, len(names))
            table[setting, number] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return table


def _favoured(gain: Float[np.ndarray, "f p"], generator: np.random.Generator) -> float:
    """Share of resamplings of photographs whose mean gain over families is positive; one of 0 counts half."""
    count = gain.shape[1]
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLINGS)
    there, known = ~np.isnan(gain), np.nan_to_num(gain)
    weight = drawn @ there.T
    means = np.where(weight > 0, drawn @ known.T / np.maximum(weight, 1), np.nan)
    total = np.nanmean(means, axis=1)
    return float((total > 0).mean() + (total == 0).mean() / 2)
