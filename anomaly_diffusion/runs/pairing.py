"""Differences between two groups of runs on the same test images, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomaly_diffusion.runs.record import Groups, RunRecord
from anomaly_diffusion.runs.tables import Grid

if TYPE_CHECKING:
    from anomaly_diffusion.types import ImageResult

    Tested = Mapping[str, Sequence[ImageResult]]  # the test images of each run, by its name

__all__ = ["Difference", "difference", "differences", "paired_report", "paired_table", "surprises"]

_LEVEL = 0.95
_UNSEEN = 0.25  # gain and loss of the two images that each kind is taken to have besides those measured
_ONE_PAIR = (
    "{}: one pair of runs says nothing about other seeds, so the interval is for other images only. "
    "Train three seeds or more."
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Image AUROC of a group less that of the baseline.

    Attributes:
        mean: over pairs of runs.
        low: lower end of the interval.
        high: upper end of the interval.
        pairs: how many pairs of runs.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def interval(self) -> str:
        """Its ends in words."""
        return f"{self.low:+.3f} to {self.high:+.3f}"


def difference(ours: "Tested", baseline: "Tested") -> Difference:
    """Difference of image AUROC between runs of the same name, with an interval of 95 %.

    The interval is for other seeds and for other images of the same kinds. Its variance is the sum of that of the mean
    over runs, by how much runs differ, and of that over images of either kind, by how much images differ on the average
    of all runs; its length is that of Student's t with the degrees of freedom of such a sum. With one pair of runs
    nothing is known of other seeds, and the interval holds for other images only.

    References: DeLong et al., "Comparing the Areas under Two or More Correlated ROC Curves", 1988 (variance over
    images); Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946 (degrees of
    freedom). Differs from DeLong: each kind of images is taken to hold two more, one that gains and one that loses a
    quarter, as Bonett & Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data", 2012, do with whole ones: near an AUROC of 1 hardly any image differs, and a variance of those few
    would be too small (intervals of 95 % held .74 to .93). The difference itself is left as it is.

    Args:
        ours: test images of each run, by the run's name (its seed).
        baseline: the same of the other group.

    Raises:
        ValueError: no run has a partner, test images differ, or one of the two kinds of images is missing.
    """
    names = sorted(set(ours) & set(baseline))
    if not names:
        raise ValueError(f"No run has a partner of the same name: {sorted(ours)} and {sorted(baseline)}.")
    pairs = [_aligned(ours[name], baseline[name]) for name in names]
    defective = pairs[0][2]
    if any(len(pair[2]) != len(defective) or (pair[2] != defective).any() for pair in pairs):
        raise ValueError("Runs have different test images. Compare runs of one test set.")
    if defective.all() or not defective.any():
        raise ValueError("Image AUROC needs normal and defective test images, got one kind only.")
    scores = np.stack([[mine, theirs] for mine, theirs, _ in pairs])  # (runs, 2, images)
    wins = _wins(scores[..., defective], scores[..., ~defective])  # (runs, 2, defective, normal)
    gain = wins[:, 0] - wins[:, 1]
    mean, half = float(gain.mean()), _half_length(gain)
    return Difference(mean, max(mean - half, -1.0), min(mean + half, 1.0), len(names))


def surprises(
    ours: "Tested", baseline: "Tested", count: int = 3
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Images that ours judges better than the baseline does, and worse, largest differences first.

    An image is judged by the share of images of the other kind that it is on the right side of; so scores of different
    scales can be compared.

    Args:
        ours: as for `difference`.
        baseline: the same of the other group.
        count: how many of each.
    """
    names = sorted(set(ours) & set(baseline))
    gains: dict[str, list[float]] = {}
    for name in names:
        mine, theirs = _judged(ours[name]), _judged(baseline[name])
        for path in mine:
            gains.setdefault(path, []).append(mine[path] - theirs[path])
    ranked = sorted(((path, fmean(values)) for path, values in gains.items()), key=lambda pair: (-pair[1], pair[0]))
    return [pair for pair in ranked[:count] if pair[1] > 0], [pair for pair in ranked[::-1][:count] if pair[1] < 0]


def paired_table(differences: Mapping[str, Difference], baseline: str) -> str:
    """Differences as a Markdown table.

    Args:
        differences: by name of the group.
        baseline: its name.
    """
    rows = [[name, str(found.pairs), f"{found.mean:+.3f}", found.interval] for name, found in differences.items()]
    table = Grid([f"image AUROC less that of {baseline}", "pairs", "difference", "95 % interval"], rows).markdown()
    alone = [name for name, found in differences.items() if found.pairs == 1]
    return table + (f"\n{_ONE_PAIR.format(', '.join(alone))}\n" if alone else "")


def paired_report(groups: Groups, baseline: str) -> str:
    """Differences of each group from the baseline, and the images that differ most, as Markdown.

    Args:
        groups: runs by name of the group.
        baseline: name of a group.

    Raises:
        ValueError: runs cannot be paired.
    """
    tested = {name: _by_run(name, runs) for name, runs in groups.items()}
    found, lines = differences(groups, baseline), []
    for name in found:
        better, worse = surprises(tested[name], tested[baseline])
        lines += [f"{name} judges better: {_listed(better)}", f"{name} judges worse: {_listed(worse)}"]
    return paired_table(found, baseline) + "\n" + "".join(f"- {line}\n" for line in lines)


def differences(groups: Groups, baseline: str) -> dict[str, Difference]:
    """The difference of each group but the baseline from it, by name of the group.

    Args:
        groups: runs by name of the group.
        baseline: name of a group.

    Raises:
        ValueError: there is no such group, or runs cannot be paired.
    """
    if baseline not in groups:
        raise ValueError(f"`baseline` must be one of {', '.join(groups)}, got {baseline!r}.")
    tested, found = {name: _by_run(name, runs) for name, runs in groups.items()}, {}
    for name in groups:
        if name == baseline:
            continue
        try:
            found[name] = difference(tested[name], tested[baseline])
        except ValueError as error:
            raise ValueError(f"{name} and {baseline} cannot be paired: {error}") from None
    return found


def _by_run(group: str, runs: Sequence[RunRecord]) -> "dict[str, list[ImageResult]]":
    """Test images by the name of the run; an evaluation is paired as its run is."""
    tested: dict[str, list[ImageResult]] = {}
    for run in runs:
        name = run.source.name
        if name in tested:
            raise ValueError(f"Group {group} has two runs called {name}. Group by more settings, or name fewer runs.")
        tested[name] = run.tested()
    return tested


def _listed(changes: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{path} ({change:+.2f})" for path, change in changes) or "none"


def _aligned(
    ours: "Sequence[ImageResult]", baseline: "Sequence[ImageResult]"
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Scores of both in the order of the images' names, and which images are defective."""
    mine, theirs = ({image.path: image for image in images} for images in (ours, baseline))
    if mine.keys() != theirs.keys():
        odd = sorted(mine.keys() ^ theirs.keys())
        raise ValueError(f"Runs have different test images, {odd[0]} among them. Compare runs of one test set.")
    paths = sorted(mine)
    scores = [np.array([has[path].score for path in paths]) for has in (mine, theirs)]
    return scores[0], scores[1], np.array([mine[path].label == 1 for path in paths])


def _wins(defective: Floats, normal: Floats) -> Floats:
    """1 where a defective image (..., P) has the larger score than a normal one (..., N), 1/2 where equal."""
    gap = defective[..., :, None] - normal[..., None, :]
    return (np.sign(gap) + 1) / 2


def _half_length(gain: Floats) -> float:
    """Half the length of the interval for the mean of `gain` (runs, defective, normal); 0 if nothing ever differs."""
    if not gain.any():
        return 0.0
    kinds = [np.append(gain.mean((0, axis)), [_UNSEEN, -_UNSEEN]) for axis in (2, 1)]
    samples = [*kinds, gain.mean((1, 2))] if len(gain) > 1 else kinds
    parts = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    freedom = parts.sum() ** 2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, samples, strict=True))
    return float(stats.t.ppf((1 + _LEVEL) / 2, freedom) * parts.sum() ** 0.5)


def _judged(images: "Sequence[ImageResult]") -> dict[str, float]:
    """For each image the share of images of the other kind that lie on its right side."""
    scores = {kind: np.array([image.score for image in images if (image.label == 1) == kind]) for kind in (False, True)}
    judged = {}
    for image in images:
        defective = image.label == 1
        side = np.sign(image.score - scores[not defective]) * (1 if defective else -1)
        judged[image.path] = float(((side + 1) / 2).mean())
    return judged
