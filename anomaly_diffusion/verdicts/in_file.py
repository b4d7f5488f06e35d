"""Verdicts in the pixels of files: regions and peaks are found in frames, and people look at photographs."""

from collections.abc import Sequence
from typing import Any

from anomaly_diffusion.verdict_records import AnomalousRegion, Verdict

__all__ = ["corners", "in_file"]

Corners = tuple[float, float, float, float]


def corners(policy: Any, size: Sequence[int], frame: Sequence[int]) -> Corners:
    """Offset and scale (x, y each) that bring a point of the frame into its file.

    Args:
        policy: what made the frame, as `data.framing.Policy`; None: it shows the whole file.
        size: height and width of the file.
        frame: those of the frame.
    """
    height, width = size
    if policy is None:
        return 0.0, 0.0, width / frame[1], height / frame[0]
    placement = policy.place((height, width), tuple(frame))
    x, y = placement.in_file(0, 0)
    right, bottom = placement.in_file(1, 1)
    return x, y, right - x, bottom - y


def in_file(verdict: Verdict, corners: Corners) -> Verdict:
    """The same with regions and peak in pixels of the file."""
    left, top, across, down = corners

    def moved(region: AnomalousRegion) -> AnomalousRegion:
        x, y = left + region.x * across, top + region.y * down
        right, bottom = x + region.width * across, y + region.height * down
        box = round(x), round(y), max(1, round(right) - round(x)), max(1, round(bottom) - round(y))
        return AnomalousRegion(*box, max(1, round(region.area * across * down)), *region[5:])

    peak = int(left + (verdict.peak[0] + 0.5) * across), int(top + (verdict.peak[1] + 0.5) * down)
    return Verdict(**{**vars(verdict), "regions": tuple(map(moved, verdict.regions)), "peak": peak})
