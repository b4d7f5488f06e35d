"""What a test set says of a run at any rate of false alarms: limit, recall, outcomes, and another run beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from anomaly_diffusion.types import ImageResult, Verdict
from anomaly_diffusion.verdicts.conformal import Limit, p_values
from anomaly_diffusion.verdicts.rates import rates

__all__ = ["EVERY", "OUTCOMES", "AtRate", "differing", "shared"]

EVERY = "all"
OUTCOMES = ("found", "found elsewhere", "missed", "false alarm", "passed")


@dataclass(frozen=True)
class AtRate:
    """A test set, judged at a limit of its own.

    Attributes:
        tested: the results of the run, as it was tested.
        limit: from the scores of held-out normal photographs and a rate.
    """

    tested: Sequence[ImageResult]
    limit: Limit

    @cached_property
    def results(self) -> list[ImageResult]:
        """The results at this limit, largest scores first."""
        return sorted(map(self._judged, self.tested), key=lambda result: -result.score)

    @cached_property
    def counts(self) -> Counter[str]:
        """How many photographs have each outcome; of all of them under `EVERY`."""
        return Counter({EVERY: len(self.results)}) + Counter(result.outcome for result in self.results)

    def only(self, outcome: str) -> list[ImageResult]:
        """The results with an outcome, or all."""
        return [result for result in self.results if outcome in (EVERY, result.outcome)]

    def sentences(self) -> list[str]:
        """Limit, recall and false alarms in words; without a test set the limit alone."""
        limit = self.limit
        made = "extrapolated from" if limit.extrapolated else "set by"
        told = [
            f"Limit {limit.value:.3g}, {made} {limit.count} held-out normal photographs for {100 * limit.promised:.2g} "
            f"% false alarms; with 95 % confidence no more than {100 * limit.at_most:.2g} %."
        ]
        if self.tested:
            said = rates(self.results)
            names = {"found": "Found", "false_alarms": "False alarms", "in_place": "In the right place"}
            told += [f"{name}: {_share(said[key])}" for key, name in names.items()]
        return told

    def _judged(self, result: ImageResult) -> ImageResult:
        said = result.verdict or Verdict(0, 0, False)
        value = self.limit.value
        return replace(result, verdict=replace(said, limit=value, defective=result.score > value))

    def p_value(self, result: ImageResult) -> float:
        """How often a held-out normal photograph has a score as large."""
        import numpy as np

        return float(p_values(np.array([result.score]), self.limit.normals)[0])


def _share(rate: dict[str, float]) -> str:
    if not rate["total"]:
        return "-"
    return f"{rate['hits']}/{rate['total']} ({100 * rate['low']:.0f}-{100 * rate['high']:.0f} %)"


def shared(ours: AtRate, other: AtRate) -> list[tuple[ImageResult, ImageResult]]:
    """The photographs that both were tested on, each with both results, the largest of our scores first."""
    theirs = {result.path: result for result in other.results}
    return [(result, theirs[result.path]) for result in ours.results if result.path in theirs]


def differing(pairs: Sequence[tuple[ImageResult, ImageResult]]) -> list[tuple[ImageResult, ImageResult]]:
    """Those on which the runs say different things."""
    return [(one, two) for one, two in pairs if one.outcome != two.outcome]
