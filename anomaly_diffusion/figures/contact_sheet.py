"""Contact sheets: the tiles of judged images beside and below one another, on one colour scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from anomaly_diffusion.figures.canvas import QUIET_INK, Picture, blank_figure, map_legend, png, write_text
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.figures.tiles import Tiles, tile_height, tiles

__all__ = ["Panel", "contact_sheet"]

GAP, TEXT, FOOT, RIM = 14, 20, 58, 4  # pixels around panels, above each, below all, and beside each tile


@dataclass(frozen=True)
class Panel:
    """One image on a sheet.

    Args:
        rows: its pictures, at least one, a row of tiles each: all depths fused, then every depth if they are shown.
        verdict: what is written above it, beside its path.
        correct: whether the verdict agrees with the label; None without a threshold or label.
        names: of the rows, as far as they have any.
    """

    rows: Sequence[ResultPictures]
    verdict: str = ""
    correct: bool | None = None
    names: Sequence[str] = ()


def contact_sheet(panels: Sequence[Panel], title: str = "", limit: float = 8.0, tile: int = 150) -> bytes:
    """All panels in one PNG, image | reconstruction | difference | map, on one colour scale.

    Args:
        panels: what to show, at least one; two to a line if there are more than four.
        title: the headline.
        limit: the z at which the colour scale ends.
        tile: height of one picture in pixels.
    """
    columns = 2 if len(panels) > 4 else 1
    blocks = [_block(panel, limit, tile_height(panel.rows[0], tile)) for panel in panels]
    height, width = max(block.shape[0] for block in blocks), max(block.shape[1] for block in blocks)
    head, text, gap, foot = 34 if title else 8, TEXT, GAP, FOOT
    lines = -(-len(blocks) // columns)
    size = (columns * width + (columns + 1) * gap, head + text + lines * (height + text + gap) + foot - gap)
    figure = blank_figure(*size)
    canvas = np.ones((size[1], size[0], 3), dtype=np.float32)
    if title:
        write_text(figure, gap, 10, title, size=11, weight="bold")
    for place, (panel, block) in enumerate(zip(panels, blocks, strict=True)):
        line, column = divmod(place, columns)
        left, top = gap + column * (width + gap), head + text + line * (height + text + gap)
        canvas[top + text : top + text + block.shape[0], left : left + block.shape[1]] = block
        _caption(figure, panel, left, top + 4, width)
        _row_names(figure, panel, left + block.shape[1] / len(Tiles._fields), top + text, block.shape[0])
        if line == 0:
            _heads(figure, panel, left, top - 14, block.shape[1])
    map_legend(figure, size, limit)
    return png(figure, canvas)


def _block(panel: Panel, limit: float, height: int) -> Picture:
    """The tiles of a panel, rows below one another."""
    rim = ((0, RIM), (0, RIM), (0, 0))
    rows = [tiles(pictures, limit, height) for pictures in panel.rows]
    return np.vstack([np.hstack([np.pad(tile, rim, constant_values=1) for tile in row]) for row in rows])


def _caption(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    room = max(12, int(width / 6.2) - len(panel.verdict))
    path = panel.rows[0].path
    write_text(figure, left, top, path if len(path) <= room else "…" + path[1 - room :])
    ink = {None: QUIET_INK, True: "#1a7f37", False: "#c1121f"}[panel.correct]
    write_text(figure, left + width - 4, top, panel.verdict, color=ink, ha="right")


def _row_names(figure: Figure, panel: Panel, left: float, top: float, height: float) -> None:
    for place, name in enumerate(panel.names):
        box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 2}
        write_text(figure, left + 5, top + 5 + place * height / len(panel.rows), name, size=8, bbox=box)


def _heads(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    for place, name in enumerate(Tiles._fields):
        middle = left + (place + 0.5) * width / len(Tiles._fields) - 2
        write_text(figure, middle, top, name.replace("_", " "), ha="center", color=QUIET_INK)
