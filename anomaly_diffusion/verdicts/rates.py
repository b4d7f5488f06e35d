"""What verdicts are worth on a test set: recall, false alarms and place, each with its interval, by kind of defect."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from anomaly_diffusion.types import ImageResult, Verdict

__all__ = ["Rate", "rates"]


@dataclass(frozen=True)
class Rate:
    """A share of photographs.

    Attributes:
        hits: how many.
        total: of how many.
    """

    hits: int
    total: int

    @classmethod
    def of(cls, answers: Iterable[bool]) -> "Rate":
        """The share of those that are true."""
        known = list(answers)
        return cls(sum(known), len(known))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Clopper & Pearson (1934), which covers at least that."""
        low = stats.beta.ppf(0.025, self.hits, self.total - self.hits + 1) if self.hits else 0.0
        high = stats.beta.ppf(0.975, self.hits + 1, self.total - self.hits) if self.hits < self.total else 1.0
        return float(low), float(high)

    def as_dict(self) -> dict[str, Any]:
        """For files."""
        low, high = self.interval
        share = self.hits / self.total if self.total else None
        return {"hits": self.hits, "total": self.total, "share": share, "low": low, "high": high}


def rates(results: Sequence[ImageResult]) -> dict[str, Any]:
    """What came of the judged photographs of a test, for `summary.json`: each a `Rate`.

    "found" are defective photographs called defective, "false_alarms" normal ones; "in_place" are those found whose map
    peaks at the defect, of those found with a mask; "drift" normal and defective ones that say they are unlike normal
    ones; "found_by_kind" and "all_called_defective", the F1 of a detector that calls everything defective.

    Args:
        results: with labels and verdicts; others are left out.
    """
    judged = [(one, one.verdict) for one in results if one.verdict is not None and one.label is not None]
    defective, normal = ([pair for pair in judged if bool(pair[0].label) == label] for label in (True, False))
    kinds = {
        kind: [pair for pair in defective if pair[0].kind == kind]
        for kind in sorted({one.kind for one, _ in defective})
    }
    share = len(defective) / len(judged) if judged else 0.0
    return {
        "found": _called(defective).as_dict(),
        "false_alarms": _called(normal).as_dict(),
        "in_place": Rate.of(
            said.in_place for _, said in defective if said.defective and said.in_place is not None
        ).as_dict(),
        "drift_normal": Rate.of(bool(said.drift) for _, said in normal).as_dict(),
        "drift_defective": Rate.of(bool(said.drift) for _, said in defective).as_dict(),
        "found_by_kind": {kind: _called(pairs).as_dict() for kind, pairs in kinds.items()},
        "all_called_defective_f1": 2 * share / (1 + share),
    }


def _called(pairs: Sequence[tuple[ImageResult, Verdict]]) -> Rate:
    """How many are called defective."""
    return Rate.of(verdict.defective for _, verdict in pairs)
