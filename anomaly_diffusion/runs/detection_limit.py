"""`detection_limit.json`: which painted defects were found, and the sizes that follow from it, as people say it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["DetectionLimit", "FamilyLimit", "SizedDefect"]


@dataclass(frozen=True)
class SizedDefect:
    """A defect that was measured.

    Attributes:
        path: its photograph.
        width: diameter of the largest disc in it over the photograph's shorter side.
        cnr: contrast-to-noise ratio.
        found: whether its photograph was called defective, and the map peaks at the defect; None if nobody asked.
    """

    path: str
    width: float
    cnr: float
    found: bool | None = None


@dataclass(frozen=True)
class FamilyLimit:
    """What is found of one family of painted defects.

    Attributes:
        family: its name.
        defects: those that were painted.
        curve: `DetectionCurve.as_dict`; empty where there is none.
        why: there is no curve, in words.
    """

    family: str
    defects: Sequence[SizedDefect]
    curve: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def sentence(self, false_alarms: float) -> str:
        """What an engineer wants to know.

        Args:
            false_alarms: rate of them among normal photographs.
        """
        if not self.curve:
            return f"{_plural(self.family)}: no limit, as {self.why}"
        smallest, largest = (end(defect.width for defect in self.defects) for end in (min, max))
        a90, bound = self.curve["a90"], self.curve["a90_95"]
        found = sum(bool(defect.found) for defect in self.defects)
        told = f"{found} of {len(self.defects)} found"
        if a90 > largest:
            return (
                f"does not find 90 % of {_plural(self.family)} of any width up to {_percent(largest)} of the side at "
                f"{_percent(false_alarms)} false alarms ({told})"
            )
        surely = f"{_percent(bound)} with 95 % confidence" if bound and bound <= largest else "not yet certain"
        return (
            f"finds 90 % of {_plural(self.family)} wider than {_percent(max(a90, smallest))} of the side at "
            f"{_percent(false_alarms)} false alarms ({surely}; {told})"
        )


@dataclass(frozen=True)
class DetectionLimit:
    """What a run finds of painted defects.

    Attributes:
        false_alarms: rate of them among normal photographs that the limit of scores promises.
        widths: that were asked for.
        contrasts: that were asked for.
        families: what was found of each.
        real: defects of the test photographs, for comparison only.
    """

    false_alarms: float
    widths: Sequence[float]
    contrasts: Sequence[float]
    families: Sequence[FamilyLimit]
    real: Sequence[SizedDefect] = ()

    def sentences(self) -> list[str]:
        """One for each family."""
        return [family.sentence(self.false_alarms) for family in self.families]

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        families = {
            family.family: {
                "sentence": family.sentence(self.false_alarms),
                **family.curve,
                "defects": [asdict(defect) for defect in family.defects],
            }
            for family in self.families
        }
        return {**asdict(self), "families": families}


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _plural(name: str) -> str:
    return f"{name}es" if name.endswith(("s", "ch", "sh")) else f"{name}s"
