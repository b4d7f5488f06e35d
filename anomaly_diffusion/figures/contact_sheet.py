"""Contact sheets: the tiles of judged images beside and below one another, on one colour scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from anomaly_diffusion.figures.canvas import (
    MARKS,
    QUIET_INK,
    RIGHT,
    WRONG,
    Picture,
    blank_figure,
    legend_height,
    map_legend,
    png,
    roomy,
    shortened,
    text_size,
    write_text,
)
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.figures.tiles import legend, tile_height, tiles

__all__ = ["Panel", "contact_sheet"]

GAP, TEXT, LINE, HEAD = 14, 36, 16, 20  # pixels around panels, above each for two lines, of one, and for heads
_BOX = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 2}


@dataclass(frozen=True)
class Panel:
    """One image on a sheet.

    Args:
        rows: its pictures, at least one, a row of tiles each: all depths fused, then every depth if they are shown.
        outcome: one of `canvas.MARKS`; nothing where nobody knows.
        note: what is written beside it, in numbers.
        warning: what is written below it; shortened to the width of the tiles.
    """

    rows: Sequence[ResultPictures]
    outcome: str = ""
    note: str = ""
    warning: str = ""

    @property
    def verdict(self) -> str:
        """The outcome with its mark."""
        return f"{MARKS[self.outcome]} {self.outcome}" if self.outcome else ""


def contact_sheet(panels: Sequence[Panel], title: str = "", limit: float = 8.0, tile: int = 150) -> bytes:
    """All panels in one PNG, image | reconstruction | difference | map or image | features | normal features | map.

    Args:
        panels: what to show, at least one; two to a line if there are more than four.
        title: the headline.
        limit: the z at which the colour scale ends.
        tile: height of one picture in pixels.
    """
    columns = 2 if len(panels) > 4 else 1
    blocks = [_block(panel, limit, tile_height(panel.rows[0], tile)) for panel in panels]
    notes = legend(panels[0].rows[0])
    height, width = max(block.shape[0] for block in blocks), _width(panels, blocks)
    head, lines = 34 if title else 8, -(-len(blocks) // columns)
    wide = max(columns * width + (columns + 1) * GAP, _wide(title, 11, weight="bold") + 2 * GAP)
    text = TEXT + LINE * any(panel.warning for panel in panels)
    foot = legend_height(wide, notes)
    size = (wide, head + HEAD + lines * (height + text + GAP) + foot - GAP)
    figure = blank_figure(*size)
    canvas = np.ones((size[1], size[0], 3), dtype=np.float32)
    write_text(figure, GAP, 10, title, size=11, weight="bold")
    for place, (panel, block) in enumerate(zip(panels, blocks, strict=True)):
        line, column = divmod(place, columns)
        left, top = GAP + column * (width + GAP), head + HEAD + line * (height + text + GAP)
        canvas[top + text : top + text + block.shape[0], left : left + block.shape[1]] = block
        _caption(figure, panel, left, top + 2, width)
        _depths(figure, panel, left, top + text, block.shape)
        if line == 0:
            _heads(figure, panel, left, top - 16, block.shape[1])
    map_legend(figure, size, limit, notes)
    return png(figure, canvas)


def _block(panel: Panel, limit: float, height: int) -> Picture:
    """The tiles of a panel, rows below one another."""
    return np.vstack([np.hstack([roomy(tile) for tile in tiles(row, limit, height)]) for row in panel.rows])


def _width(panels: Sequence[Panel], blocks: Sequence[Picture]) -> int:
    """Of the widest panel: of its tiles, or of what is said of it."""
    said = [_wide(f"{panel.verdict}   ", weight="bold") + _wide(panel.note) for panel in panels]
    return int(max(*said, *(block.shape[1] for block in blocks)))


def _wide(text: str, size: float = 8.5, weight: str = "normal") -> int:
    return math.ceil(text_size(blank_figure(100, 100), text, size, weight)[0]) + 2 if text else 0


def _caption(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    write_text(figure, left, top, shortened(figure, panel.rows[0].path, width))
    verdict = panel.verdict
    write_text(figure, left, top + LINE, verdict, color=WRONG if "✗" in verdict else RIGHT, weight="bold")
    after = _wide(f"{verdict}   ", weight="bold") if verdict else 0
    write_text(figure, left + after, top + LINE, panel.note, color=QUIET_INK)
    write_text(figure, left, top + 2 * LINE, shortened(figure, panel.warning, width, end=False), color=QUIET_INK)


def _depths(figure: Figure, panel: Panel, left: float, top: float, shape: tuple[int, ...]) -> None:
    """Of which depth a reconstruction and a map are, in a corner where the map does not peak."""
    high, wide = shape[0] / len(panel.rows), shape[1] / 4
    for place, row in enumerate(panel.rows):
        at, anchor = (high - 9, "bottom") if row.peaks_high else (5, "top")
        for column, name in ((1 if row.photographs else 2, row.depth), (3, row.map_depth)):
            if name:
                write_text(
                    figure, left + column * wide + 5, top + place * high + at, name, size=8, bbox=_BOX, va=anchor
                )


def _heads(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    names = tiles(panel.rows[0], 1.0, 8)._fields
    for place, name in enumerate(names):
        middle = left + (place + 0.5) * width / len(names) - 2
        write_text(figure, middle, top, name.replace("_", " "), ha="center", color=QUIET_INK)
