"""How far the photographs of a data set move against each other, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anomaly_diffusion.scoring.motion import Motion, motion_between, moved

__all__ = ["Movement", "movement"]

_ALIKE = 0.8  # median correlation with their mean, once moved back, from which photographs show one part
_STILL = 0.004  # share of the longer side, 1 of 256 pixels, below which nothing is lost


@dataclass(frozen=True)
class Movement:
    """Motions of some photographs against their mean.

    Attributes:
        shifts: of their centres, as shares of the longer side.
        corners: how far their farthest corners have moved, rotation included, in the same.
        degrees: rotations, unsigned.
        before: correlation of each with the mean as it lies.
        after: the same when it has been moved back.
    """

    shifts: Float[np.ndarray, " n"]
    corners: Float[np.ndarray, " n"]
    degrees: Float[np.ndarray, " n"]
    before: Float[np.ndarray, " n"]
    after: Float[np.ndarray, " n"]

    @property
    def alike(self) -> bool:
        """Whether photographs show one thing at one place, but for a motion."""
        return bool(np.median(self.after) >= _ALIKE)

    @property
    def moves(self) -> bool:
        """Whether a tenth of them or more has moved by more than is lost in the frame's pixels."""
        return self.alike and float(np.quantile(self.corners, 0.9)) > _STILL

    def __str__(self) -> str:
        """What was measured, and what to do."""
        if not self.alike:
            return (
                "parts lie anywhere, or are of random texture (correlation with their mean "
                f"{np.median(self.after):.2f}): statistics by position say little, and registration cannot help."
            )
        measured = (
            f"{len(self.shifts)} training photographs are shifted by {np.median(self.shifts):.2%} of the longer side "
            f"in the median, {self.shifts.max():.2%} at most, and turned by {np.median(self.degrees):.1f} degrees, "
            f"{self.degrees.max():.1f} at most"
        )
        if not self.moves:
            return f"{measured}: they lie alike, nothing is to be done."
        return (
            f"{measured}; moved back, their correlation with the mean rises from {np.median(self.before):.3f} to "
            f"{np.median(self.after):.3f}. Judge them where the mean one lies: --model.init_args.scoring.registration "
            "Registration"
        )


def movement(frames: Sequence[Float[np.ndarray, "H W"]]) -> Movement:
    """Motions of grey frames of one size against their mean, found anew from those that were moved.

    Args:
        frames: at least one.
    """
    mean = _mean(frames, [np.eye(2, 3)] * len(frames))
    mean = _mean(frames, [motion_between(mean, frame).matrix for frame in frames])
    motions = [motion_between(mean, frame) for frame in frames]
    height, width = mean.shape
    longer = max(height, width)
    return Movement(
        np.array([motion.shift((height, width)) / longer for motion in motions]),
        np.array([_farthest(motion, height, width) / longer for motion in motions]),
        np.array([abs(motion.degrees) for motion in motions]),
        np.array([motion.before for motion in motions]),
        np.array([motion.after for motion in motions]),
    )


def _farthest(motion: Motion, height: int, width: int) -> float:
    corners = np.array([[x, y, 1] for x in (0, width - 1) for y in (0, height - 1)], float)
    return float(np.hypot(*(corners @ motion.matrix.T - corners[:, :2]).T).max())


def _mean(
    frames: Sequence[Float[np.ndarray, "H W"]], matrices: Sequence[Float[np.ndarray, "2 3"]]
) -> Float[np.ndarray, "H W"]:
    there = [moved(frame, matrix) for frame, matrix in zip(frames, matrices, strict=True)]
    mean = np.stack(there).mean(0, dtype=np.float64)
    return np.asarray(mean, np.float32)
