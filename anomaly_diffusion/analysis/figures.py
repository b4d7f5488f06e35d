"""Pictures of results: the only place that knows matplotlib, through its objects and never through pyplot."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy import ndarray

Picture = Float[ndarray, "H W C"]
COLOURS = "inferno"
TRUTH = (0.15, 0.95, 0.85)  # contour of the mask: a hue that neither photographs nor the colour map have
RESIDUAL_WHITE = 0.25  # a difference of a quarter of the pixel range is white
TITLE_INK, QUIET_INK = "#111111", "#666666"


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
    """

    image: Picture
    mask: Bool[ndarray, "H W"]
    rows: Sequence[Row] = field(default_factory=list)
    title: str = ""
    verdict: str = ""
    correct: bool | None = None


def contact_sheet(panels: Sequence[Panel], title: str = "", limit: float = 8.0, tile: int = 150) -> bytes:
    """All panels in one PNG, image | reconstruction | difference | map, on one colour scale.

    Args:
        panels: what to show, at least one; two to a line if there are more than four.
        title: the headline.
        limit: the z at which the colour scale ends.
        tile: height of one picture in pixels.
    """
    columns = 2 if len(panels) > 4 else 1
    blocks = [_block(panel, limit, _height(panel, tile)) for panel in panels]
    height, width = max(block.shape[0] for block in blocks), max(block.shape[1] for block in blocks)
    head, text, gap, foot = (34 if title else 8), 20, 14, 58
    lines = -(-len(blocks) // columns)
    size = (columns * width + (columns + 1) * gap, head + text + lines * (height + text + gap) + foot - gap)
    figure = _figure(*size)
    canvas = np.ones((size[1], size[0], 3), dtype=np.float32)
    if title:
        _text(figure, gap, 10, title, size=11, weight="bold")
    for place, (panel, block) in enumerate(zip(panels, blocks, strict=True)):
        line, column = divmod(place, columns)
        left, top = gap + column * (width + gap), head + text + line * (height + text + gap)
        canvas[top + text : top + text + block.shape[0], left : left + block.shape[1]] = block
        _caption(figure, panel, left, top + 4, width)
        _row_names(figure, panel, left + block.shape[1] / 4, top + text, block.shape[0])
        if line == 0:
            _heads(figure, panel, left, top - 14, block.shape[1])
    _legend(figure, size, limit)
    return _png(figure, canvas)


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
    figure = _figure(960, 360)
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
    return _png(figure)


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
    image = _tile(_rgb(panel.image), tile)
    mask = _tile(panel.mask.astype(np.float32), tile, cv2.INTER_NEAREST) > 0.5
    rows = []
    for row in panel.rows:
        healthy = _tile(_rgb(row.reconstruction), tile)
        difference = np.abs(_rgb(panel.image) - _rgb(row.reconstruction)).mean(2) / RESIDUAL_WHITE
        pictures = [_outlined(image, mask), healthy, _rgb(_tile(difference.clip(0, 1), tile)[..., None])]
        pictures.append(_outlined(_overlay(image, _tile(row.anomaly_map, tile), limit), mask))
        rows.append(np.hstack([np.pad(picture, ((0, 4), (0, 4), (0, 0)), constant_values=1) for picture in pictures]))
    return np.vstack(rows)


def _overlay(image: Picture, anomaly_map: Float[ndarray, "H W"], limit: float) -> Picture:
    """The map in colour over the dimmed grey image: the stronger, the more opaque."""
    z = (anomaly_map / limit).clip(0, 1)
    grey = _rgb(image.mean(2, keepdims=True)) * 0.75
    opacity = (z[..., None] * 2).clip(0, 1) ** 0.75
    overlaid: Picture = (1 - opacity) * grey + opacity * colormaps[COLOURS](z)[..., :3]
    return overlaid


def _outlined(picture: Picture, mask: Bool[ndarray, "H W"]) -> Picture:
    """The picture with a two-pixel contour just outside the mask, so that nothing of the defect is hidden."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    rim = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    return np.where(rim[..., None], np.array(TRUTH), picture)


def _tile(picture: ndarray, height: int, interpolation: int = cv2.INTER_CUBIC) -> ndarray:
    H, W = picture.shape[:2]
    size = (max(24, round(W * height / H)), height)
    way = interpolation if height >= H or interpolation == cv2.INTER_NEAREST else cv2.INTER_AREA
    resized: ndarray = cv2.resize(np.ascontiguousarray(picture, dtype=np.float32), size, interpolation=way)
    return resized


def _rgb(picture: ndarray) -> Picture:
    return np.broadcast_to(picture.clip(0, 1), (*picture.shape[:2], 3))


def _figure(width: int, height: int) -> Figure:
    return Figure(figsize=(width / 100, height / 100), dpi=100)


def _png(figure: Figure, background: Picture | None = None) -> bytes:
    """The figure over a background, as a PNG: several times faster than to have matplotlib draw the background."""
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    with warnings.catch_warnings():  # a path may hold characters that the font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba(), dtype=np.float32)
    opacity = drawn[..., 3:] / 255
    below = 1.0 if background is None else background
    picture = drawn[..., :3] * opacity + 255 * (1 - opacity) * below
    encoded = cv2.imencode(".png", picture[..., ::-1].round().clip(0, 255).astype(np.uint8))
    return bytes(encoded[1])


def _text(figure: Figure, left: float, top: float, text: str, size: float = 8.5, **style: Any) -> None:
    width, height = figure.get_size_inches() * 100
    style = {"color": TITLE_INK, "va": "top", "ha": "left", "parse_math": False, **style}
    figure.text(left / width, 1 - top / height, text, fontsize=size, **style)


def _caption(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    room = max(12, int(width / 6.2) - len(panel.verdict))
    title = panel.title if len(panel.title) <= room else "…" + panel.title[1 - room :]
    _text(figure, left, top, title)
    ink = {None: QUIET_INK, True: "#1a7f37", False: "#c1121f"}[panel.correct]
    _text(figure, left + width - 4, top, panel.verdict, color=ink, ha="right")


def _row_names(figure: Figure, panel: Panel, left: float, top: float, height: float) -> None:
    for place, row in enumerate(panel.rows):
        box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 2}
        _text(figure, left + 5, top + 5 + place * height / len(panel.rows), row.name, size=8, bbox=box)


def _heads(figure: Figure, panel: Panel, left: float, top: float, width: float) -> None:
    names = ("image", "reconstruction", "difference", "anomaly map")
    for place, name in enumerate(names):
        _text(figure, left + (place + 0.5) * width / 4 - 2, top, name, ha="center", color=QUIET_INK)


def _legend(figure: Figure, size: tuple[int, int], limit: float) -> None:
    width, height = size
    axes = figure.add_axes((14 / width, 36 / height, min(260, width - 28) / width, 9 / height))
    scale = ScalarMappable(Normalize(0, limit), COLOURS)
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal")
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    _text(figure, 14, height - 20, "map: standard deviations of normal images", size=8, color=QUIET_INK)
    if width > 620:
        _text(figure, 300, height - 48, "contour: true defect", size=8, color="#0f9f8f")
        note = f"difference: white = {RESIDUAL_WHITE:.0%} of the pixel range"
        _text(figure, 300, height - 34, note, size=8, color=QUIET_INK)
