"""Strength of img2img, converted to depth and back."""

from collections.abc import Sequence

import torch

from anomaly_diffusion.diffusion.schedule import ScaledLinearSchedule, Schedule
from anomaly_diffusion.reconstruction.depths import DepthList

__all__ = ["Strengths", "depth_of", "steps_of", "strength_of"]


def depth_of(strength: float, schedule: Schedule | None = None) -> float:
    """sigma_t / alpha_t at t = strength: img2img starts that share of the chain away from a clean image.

    Args:
        strength: in (0, 1].
        schedule: that of the model; of Stable Diffusion if not given.

    Raises:
        ValueError: `strength` is out of range.
    """
    if not 0 < strength <= 1:
        raise ValueError(f"`strength` must lie in (0, 1], got {strength}.")
    return float((schedule or ScaledLinearSchedule()).depth(torch.tensor(strength, dtype=torch.float64)))


def strength_of(depth: float, schedule: Schedule | None = None) -> float:
    """The strength at which img2img starts from `depth`.

    Args:
        depth: sigma_t / alpha_t, > 0.
        schedule: that of the model; of Stable Diffusion if not given.
    """
    return float((schedule or ScaledLinearSchedule()).time(torch.tensor(depth, dtype=torch.float64)))


def steps_of(strength: float, steps: int) -> int:
    """Steps that img2img really takes when it is asked for `steps`: floor(steps * strength)."""
    return min(int(steps * strength), steps)


class Strengths(DepthList):
    """Start depths by the strengths of img2img, on the schedule of Stable Diffusion.

    The walk of `PartialDiffusion(Strengths([s]), steps=n)` is that of diffusers' img2img with DDIM, "trailing" spacing,
    strength s and n / s steps, where these divide the chain. Its "leading" spacing starts up to a stride earlier and
    ends with a shorter one.

    Args:
        strengths: in (0, 1], in any order.

    Raises:
        ValueError: there is no strength, or one is out of range.
    """

    def __init__(self, strengths: Sequence[float]) -> None:
        if not strengths:
            raise ValueError("`strengths` must name at least one strength, got none.")
        super().__init__([depth_of(strength) for strength in strengths])
