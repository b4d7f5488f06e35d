"""Differences between two groups of runs on the same test images, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "ScoredImage", "difference", "paired_table", "surprises"]

_DRAWS = 2000
_LEVEL = 0.95
_CHUNK = 200  # draws at a time: bounds memory

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredImage:
    """A test image and what a run said of it.

    Attributes:
        path: names the image.
        defective: whether it has a defect.
        score: larger is worse.
    """

    path: str
    defective: bool
    score: float


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


def difference(
    ours: Mapping[str, Sequence[ScoredImage]], baseline: Mapping[str, Sequence[ScoredImage]], seed: int = 0
) -> Difference:
    """Difference of image AUROC between runs of the same name, with a bootstrap interval of 95 %.

    Each draw takes runs and test images anew, with replacement, normal and defective images apart and the same for both
    groups: the interval holds for other seeds and for other images of the same kinds. With one pair of runs it holds
    for other images only.

    Reference: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13 (percentile interval).

    Args:
        ours: test images of each run, by the run's name (its seed).
        baseline: the same of the other group.
        seed: of the draws.

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
    drawn = _bootstrap(gain, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Difference(float(gain.mean()), float(low), float(high), len(names))


def surprises(
    ours: Mapping[str, Sequence[ScoredImage]], baseline: Mapping[str, Sequence[ScoredImage]], count: int = 3
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
    rows = [[f"image AUROC less that of {baseline}", "pairs", "difference", "95 % interval"]]
    rows.append(["---", "---:", "---:", "---:"])
    for name, found in differences.items():
        rows.append([f"**{name}**", str(found.pairs), f"{found.mean:+.3f}", f"{found.low:+.3f} to {found.high:+.3f}"])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"


def _aligned(ours: Sequence[ScoredImage], baseline: Sequence[ScoredImage]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Scores of both in the order of the images' names, and which images are defective."""
    mine, theirs = ({image.path: image for image in images} for images in (ours, baseline))
    if mine.keys() != theirs.keys():
        odd = sorted(mine.keys() ^ theirs.keys())
        raise ValueError(f"Runs have different test images, {odd[0]} among them. Compare runs of one test set.")
    paths = sorted(mine)
    scores = [np.array([has[path].score for path in paths]) for has in (mine, theirs)]
    return scores[0], scores[1], np.array([mine[path].defective for path in paths])


def _wins(defective: Floats, normal: Floats) -> Floats:
    """1 where a defective image (..., P) has the larger score than a normal one (..., N), 1/2 where equal."""
    gap = defective[..., :, None] - normal[..., None, :]
    return (np.sign(gap) + 1) / 2


def _bootstrap(gain: Floats, dice: np.random.Generator) -> Floats:
    """Means of `gain` (runs, defective, normal) over runs and images drawn anew."""
    runs, defective, normal = gain.shape
    means = []
    for start in range(0, _DRAWS, _CHUNK):
        count = min(_CHUNK, _DRAWS - start)
        weights = [dice.multinomial(size, np.full(size, 1 / size), count) / size for size in (runs, defective, normal)]
        over_runs = np.tensordot(weights[0], gain, 1)  # (draws, defective, normal)
        means.append(np.einsum("bd,bdn,bn->b", weights[1], over_runs, weights[2], optimize=True))
    return np.concatenate(means)


def _judged(images: Sequence[ScoredImage]) -> dict[str, float]:
    """For each image the share of images of the other kind that lie on its right side."""
    scores = {kind: np.array([image.score for image in images if image.defective == kind]) for kind in (False, True)}
    judged = {}
    for image in images:
        side = np.sign(image.score - scores[not image.defective]) * (1 if image.defective else -1)
        judged[image.path] = float(((side + 1) / 2).mean())
    return judged
