"""Pictures of a run: contact sheets of verdicts, and the course of training."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from anomaly_diffusion.figures.canvas import (
    QUIET_INK,
    RESIDUAL_WHITE,
    Picture,
    as_rgb,
    blank_figure,
    map_legend,
    outlined,
    overlay,
    png,
    scaled,
    write_text,
)

GAP, TEXT, FOOT, RIM = 14, 20, 58, 4  # pixels around panels, above each, below all, and beside each picture


@dataclass(frozen=True)
class Row:
    """What is shown in one row: the verdict at one depth, or of all depths.

    Args:
        reconstruction: in [0, 1].
        anomaly_map: in standard deviations of normal images.
        name: says which depth.
    """

    reconstruction: Picture
    anomaly_map: Float[ndarray, "H W"]
    name: str = ""


@dataclass(frozen=True)
class Panel:
    """One image with its verdict.

    Args:
        image: in [0, 1], one or three channels.
        mask: the true defect.
        rows: at least one.
        title: file and kind.
        verdict: score against threshold.
        correct: whether the verdict agrees with the label; None without a threshold or label.
        reference: what a perfect reconstruction would look like, if not like the image.
    """

    image: Picture
    mask: Bool[ndarray, "H W"]
    rows: Sequence[Row] = field(default_factory=list)
    title: str = ""
    verdict: str = ""
    correct: bool | None = None
    reference: Picture | None = None


def contact_sheet(panels: Sequence[Panel], title: str = "", limit: float = 8.0, tile: int = 150) -> bytes:
    """All panels in one PNG, image | reconstruction | difference | map, on one colour scale.

    Args:
        panels: what to show, at least one; two to a line if there are more than four.
        title: the headline.
        limit: the z at which the colour scale ends.
        tile: height of one picture in pixels.
    """
    columns = columns_of(len(panels))
    blocks = [_block(panel, limit, _height(panel, tile)) for panel in panels]
    height, width = max(block.shape[0] for block in blocks), max(block.shape[1] for block in blocks)
    head, text, gap, foot = head_of(bool(title)), TEXT, GAP, FOOT
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
        _row_names(figure, panel, left + block.shape[1] / 4, top + text, block.shape[0])
        if line == 0:
            _heads(figure, panel, left, top - 14, block.shape[1])
    map_legend(figure, size, limit)
    return png(figure, canvas)


def columns_of(count: int) -> int:
    """How many panels of a sheet of so many stand side by side."""
    return 2 if count > 4 else 1


def head_of(titled: bool) -> int:
    """Pixels above the panels of a sheet."""
    return 34 if titled else 8


def _height(panel: Panel, tile: int) -> int:
    """Wide pictures become lower, so that the sheet fits a screen."""
    H, W = panel.mask.shape
    return int(tile * min(1.0, 1.5 * H / W))


def progress(losses: Sequence[tuple[int, float]], figures: Sequence[tuple[int, dict[str, float]]]) -> bytes:
    """Training loss and validation figures over optimiser steps, as a PNG.

    Args:
        losses: (step, loss).
        figures: (step, {name: figure in [0, 1]}).
    """
    figure = blank_figure(960, 360)
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.14, top=0.91, wspace=0.14)
    left, right = figure.subplots(1, 2)
    _losses(left, losses)
    for name in dict.fromkeys(name for _, values in figures for name in values):
        points = [(step, values[name]) for step, values in figures if name in values]
        right.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name.replace("_", " "))
    right.set(title="validation", xlabel="step", ylim=(0, 1.02))
    if right.lines:
        right.legend(loc="best", fontsize=8, framealpha=0.7, edgecolor="none")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _losses(axes: Axes, losses: Sequence[tuple[int, float]]) -> None:
    axes.set(title="training loss", xlabel="step")
    if not losses:
        return
    steps, values = np.array(losses, dtype=float).T
    axes.plot(steps, values, color="#bbbbbb", linewidth=0.8)
    width = max(1, len(values) // 20)
    if len(values) >= 2 * width > 2:
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        middle = steps[width // 2 :][: len(smooth)]
        axes.plot(middle, smooth, color="#c1440e", linewidth=1.8, label=f"mean of {width} points")
        axes.legend(fontsize=8, frameon=False)
    if (values > 0).all():
        axes.set_yscale("log")


def _block(panel: Panel, limit: float, tile: int) -> Picture:
    """The pictures of a panel, rows below one another."""
    image = scaled(as_rgb(panel.image), tile)
    reference = as_rgb(panel.image if panel.reference is None else panel.reference)
    mask = scaled(panel.mask.astype(np.float32), tile, cv2.INTER_NEAREST) > 0.5
    rows = []
    for row in panel.rows:
        reconstruction = scaled(as_rgb(row.reconstruction), tile)
        difference = np.abs(reference - as_rgb(row.reconstruction)).mean(2) / RESIDUAL_WHITE
        pictures = [outlined(image, mask), reconstruction, as_rgb(scaled(difference.clip(0, 1), tile)[..., None])]
        pictures.append(outlined(overlay(image, scaled(row.anomaly_map, tile), limit), mask))
        rim = ((0, RIM), (0, RIM), (0, 0))
        rows.append(np.hstack([np.pad(picture, rim, constant_values=1) for picture in pictures]))
    return np.vstack(rows)


def _caption(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    room = max(12, int(width / 6.2) - len(panel.verdict))
    title = panel.title if len(panel.title) <= room else "…" + panel.title[1 - room :]
    write_text(figure, left, top, title)
    ink = {None: QUIET_INK, True: "#1a7f37", False: "#c1121f"}[panel.correct]
    write_text(figure, left + width - 4, top, panel.verdict, color=ink, ha="right")


def _row_names(figure: Figure, panel: Panel, left: float, top: float, height: float) -> None:
    for place, row in enumerate(panel.rows):
        box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 2}
        write_text(figure, left + 5, top + 5 + place * height / len(panel.rows), row.name, size=8, bbox=box)


def _heads(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    names = ("image", "reconstruction", "difference", "anomaly map")
    for place, name in enumerate(names):
        write_text(figure, left + (place + 0.5) * width / 4 - 2, top, name, ha="center", color=QUIET_INK)
