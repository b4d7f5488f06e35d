"""Contact sheets cut back into their pictures, so that these can be laid over one another."""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from anomaly_diffusion.figures.contact_sheet import FOOT, GAP, RIM, TEXT

__all__ = ["Parts", "sheet_parts"]

_PICTURES = 4  # image | reconstruction | difference | map


class Parts(NamedTuple):
    """The pictures of one panel, as bytes (H, W, 3), all of one size.

    Attributes:
        image: with the contour of the true defect.
        reconstruction: of the first row: that of the middle depth.
        anomaly_map: over the dimmed image, likewise.
    """

    image: ndarray
    reconstruction: ndarray
    anomaly_map: ndarray


def sheet_parts(sheet: ndarray, count: int, titled: bool) -> list[Parts | None]:
    """The pictures of each panel of a contact sheet, in their order; None where a panel is laid out otherwise.

    The map ends a panel at its right and is nowhere white: the last column that is not white tells the width of all
    four pictures, and the first white row below the map tells their height.

    Args:
        sheet: bytes (H, W, 3), as drawn by `contact_sheet`.
        count: number of its panels, at least 1.
        titled: whether it has a headline.
    """
    columns, head = 2 if count > 4 else 1, 34 if titled else 8
    lines = -(-count // columns)
    height = (sheet.shape[0] - head - TEXT - FOOT + GAP) // lines - TEXT - GAP
    width = (sheet.shape[1] - GAP) // columns - GAP
    found = []
    for place in range(count):
        line, column = divmod(place, columns)
        top, left = head + 2 * TEXT + line * (height + TEXT + GAP), GAP + column * (width + GAP)
        found.append(_cut(sheet[top : top + max(height, 0), left : left + max(width, 0)]))
    return found


def _cut(panel: ndarray) -> Parts | None:
    ink = np.any(panel < 255, axis=2)
    if not ink.any():
        return None
    whole = int(np.flatnonzero(ink.any(0))[-1]) + 1 + RIM
    width = whole // _PICTURES - RIM
    if whole % _PICTURES or width < 1:
        return None
    starts = [place * (width + RIM) for place in range(_PICTURES)]
    white = np.flatnonzero(~ink[:, starts[3] : starts[3] + width].any(1))
    height = int(white[0]) if len(white) else len(panel)
    image, reconstruction, _, anomaly_map = (panel[:height, start : start + width] for start in starts)
    return Parts(image, reconstruction, anomaly_map) if height else None
