"""Drift: whether a photograph is unlike all normal ones in brightness, contrast, sharpness or its map's background."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from anomaly_diffusion.verdicts.beta import student_tail

__all__ = ["STATISTICS", "drift"]

STATISTICS = {  # what a photograph is called that has less of it than normal ones, or more
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter", "richer in contrast"),
    "sharpness": ("blurrier", "sharper"),
    "background": ("lower in its map's background", "higher in its map's background"),
}
_LEVEL = 0.05  # of all statistics of a photograph together


def drift(values: Mapping[str, float], normals: Mapping[str, Float[np.ndarray, " n"]]) -> str:
    """In which way a photograph is unlike the normal ones, in words; nothing if it is like them.

    Each statistic gets a two-sided conformal p-value, times the number of statistics (Bonferroni). Where there are too
    few normal photographs for that to be small, one that lies beyond all of them is judged by the prediction interval
    of normally distributed values, and the word "extrapolated" says so.

    Args:
        values: of the photograph, by the names of `STATISTICS`.
        normals: the same of n normal photographs each; one without any says nothing.
    """
    known = {name: normals[name] for name in STATISTICS if name in values and len(normals.get(name, ())) > 1}
    told = [_told(name, values[name], known[name], _LEVEL / len(known)) for name in known]
    return "; ".join(filter(None, told))


def _told(name: str, value: float, normals: Float[np.ndarray, " n"], level: float) -> str:
    below, above = int((normals <= value).sum()), int((normals >= value).sum())
    count, fewer = len(normals), min(below, above)
    enough = 2 / (count + 1) <= level
    if (2 * (1 + fewer) / (count + 1) > level) if enough else (fewer or _beyond(value, normals) > level):
        return ""
    word = STATISTICS[name][int(value > np.median(normals))]
    than = f"all {count}" if not fewer else f"{count - fewer} of {count}"
    return f"{word} than {than} normal photographs" + ("" if enough else " (extrapolated)")


def _beyond(value: float, normals: Float[np.ndarray, " n"]) -> float:
    """Two-sided p-value of a new value by Student's prediction interval."""
    count = len(normals)
    scale = float(normals.std(ddof=1)) * np.sqrt(1 + 1 / count)
    return 2 * student_tail(float(abs(value - normals.mean()) / max(scale, 1e-12)), count - 1)
