"""How much better than the best classical method a model is on each set, with intervals of 95 %."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import stats

from anomaly_diffusion.report.paper.study import CLASSICAL, Study, Trial
from anomaly_diffusion.runs.pairing import difference

__all__ = ["COMPARED", "Effect", "Gain", "effects", "known", "mean_difference", "paired"]

COMPARED = ("pixel_ap", "aupro", "image_auroc")
_LEVEL = 0.95


@dataclass(frozen=True)
class Gain:
    """A difference with its interval.

    Attributes:
        mean: difference of the means over runs.
        low: lower end of the interval; None where one of the two has a single run.
        high: upper end.
    """

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def better(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.high is not None and self.high < 0

    @property
    def words(self) -> str:
        """The difference with its interval, such as "+.120 (+.105 to +.136)"."""
        return _signed(self.mean) + (f" ({_signed(self.low)} to {_signed(self.high)})" if self.low is not None else "")


@dataclass(frozen=True)
class Effect:
    """A model less the classical method that is best on the same test images.

    Attributes:
        figure: of `names.FIGURES`.
        data: the set.
        model: what is compared.
        rival: the classical method.
        gain: by how much it is better.
    """

    figure: str
    data: str
    model: str
    rival: str
    gain: Gain


def effects(study: Study, figure: str) -> list[Effect]:
    """Every model that is not classical, on every set that has a classical method.

    Intervals of pixel figures are for other seeds on these test images (Welch's); those of image AUROC are for other
    seeds and other images, see `pairing.difference`. The rival is the best of its kind on the very images that judge,
    which favours it.

    Args:
        study: the runs.
        figure: of `COMPARED`.
    """
    found = []
    for data in study.data:
        rivals = {model: study.plain(data, model) for model in study.models if model in CLASSICAL}
        means = {model: fmean(values) for model, trials in rivals.items() if (values := known(trials, figure))}
        if not means:
            continue
        rival = max(means, key=lambda model: means[model])
        for model in study.models:
            trials = study.plain(data, model)
            if model not in CLASSICAL and known(trials, figure):
                found.append(_effect(figure, trials, rivals[rival]))
    return found


def paired(ours: Sequence[Trial], theirs: Sequence[Trial], figure: str) -> tuple[Gain, int] | None:
    """Difference of runs of the same seed, and how many there are; None where there is no pair.

    The interval is Student's over the differences: for other seeds on these test images.
    """
    known_by_seed = [{t.seed: v for t in trials if (v := t.value(figure)) is not None} for trials in (ours, theirs)]
    shared = sorted(set(known_by_seed[0]) & set(known_by_seed[1]))
    if not shared:
        return None
    gains = np.array([known_by_seed[0][seed] - known_by_seed[1][seed] for seed in shared])
    mean, count = float(gains.mean()), len(gains)
    if count < 2:
        return Gain(mean), count
    half = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1) * gains.std(ddof=1) / count**0.5)
    return Gain(mean, mean - half, mean + half), count


def mean_difference(ours: Sequence[float], theirs: Sequence[float]) -> Gain:
    """Difference of means with the interval of Welch, "The Generalization of `Student's' Problem", 1947.

    Args:
        ours: a figure of each run.
        theirs: the same of the other model. Runs that agree in every bit have no spread, and add none.
    """
    mean = fmean(ours) - fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Gain(mean)
    parts = [np.var(values, ddof=1) / len(values) for values in (ours, theirs)]
    if not sum(parts):
        return Gain(mean, mean, mean)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (ours, theirs), strict=True))
    half = float(stats.t.ppf((1 + _LEVEL) / 2, freedom) * sum(parts) ** 0.5)
    return Gain(mean, mean - half, mean + half)


def known(trials: Sequence[Trial], figure: str) -> list[float]:
    """The figure of each run that has it."""
    values = [trial.value(figure) for trial in trials]
    return [value for value in values if value is not None and math.isfinite(value)]


def _effect(figure: str, ours: Sequence[Trial], theirs: Sequence[Trial]) -> Effect:
    first = ours[0]
    names = figure, first.data, first.model, theirs[0].model
    tested = [{trial.seed: trial.run.results for trial in trials if trial.run.results} for trials in (ours, theirs)]
    if figure == "image_auroc" and set(tested[0]) & set(tested[1]):
        both = difference(*tested)
        return Effect(*names, Gain(both.mean, both.low, both.high))
    return Effect(*names, mean_difference(known(ours, figure), known(theirs, figure)))


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")
