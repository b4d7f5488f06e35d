"""What size of defect is found, for runs side by side: the detection limits of each test set and family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.runs.record import DETECTION_LIMIT, Groups, RunRecord
from anomaly_diffusion.runs.tables import by_test_set

__all__ = ["DetectionMark", "DetectionPanel", "detection_panels"]


@dataclass(frozen=True)
class DetectionMark:
    """What one run finds of one family of painted defects.

    Attributes:
        family: its name.
        method: of the run; runs of one method differ in their seed only.
        found: share of the painted defects that was found, in [0, 1].
        a90: width of which 90 % are found, a share of the shorter side; None where there is no such width.
        bound: the width of which at least 90 % are found with 95 % confidence; None likewise.
    """

    family: str
    method: str
    found: float
    a90: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class DetectionPanel:
    """All runs that were measured on the same images.

    Attributes:
        title: the data set.
        widths: that were painted.
        marks: of every run and family; a family of which none can be painted has none.
    """

    title: str
    widths: Sequence[float]
    marks: Sequence[DetectionMark]


def detection_panels(groups: Groups) -> list[DetectionPanel]:
    """One panel for each test set; runs without detection limits are left out.

    Args:
        groups: runs that differ in their seed only, by name of the group.

    Raises:
        ValueError: no run has detection limits.
    """
    known = {name: [run for run in runs if run.detection_limit] for name, runs in groups.items()}
    known = {name: runs for name, runs in known.items() if runs}
    if not known:
        raise ValueError(
            f"None of the runs has a {DETECTION_LIMIT}. Make it: anomaly-diffusion detection_limit --run_folder "
            f"{next(iter(groups.values()))[0].folder}"
        )
    sets = by_test_set(known)
    names = _methods(known, sets)
    return [
        DetectionPanel(
            known[members[0]][0].data_set,
            sorted({width for name in members for run in known[name] for width in _widths(run)}),
            [mark for name in members for run in known[name] for mark in _marks(run, names[name])],
        )
        for members in sets
    ]


def _methods(groups: Groups, sets: Sequence[Sequence[str]]) -> dict[str, str]:
    """What the groups are called on all panels alike: by their model, unless two of one set share it."""
    models = {name: runs[0].setting("model") for name, runs in groups.items()}
    unique = all(len({models[name] for name in members}) == len(members) for members in sets)
    return models if unique else {name: name for name in groups}


def _widths(run: RunRecord) -> list[float]:
    widths: list[float] = run.detection_limit.get("widths", [])
    return widths


def _marks(run: RunRecord, method: str) -> list[DetectionMark]:
    path = run.folder / DETECTION_LIMIT
    families: Mapping[str, Any] = files.nested(run.detection_limit, path, "families")
    return [_mark(name, family["defects"], family, method) for name, family in families.items() if family["defects"]]


def _mark(name: str, defects: Sequence[Mapping[str, Any]], curve: Mapping[str, Any], method: str) -> DetectionMark:
    found = sum(bool(defect["found"]) for defect in defects) / len(defects)
    largest = max(defect["width"] for defect in defects)
    a90, bound = (value if value and value <= largest else None for value in (curve.get("a90"), curve.get("a90_95")))
    return DetectionMark(name, method, found, a90, bound)
