"""Drawing pictures: overlays, contours, scales and text, and how matplotlib's objects become a PNG without pyplot."""

import warnings
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
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


def overlay(image: Picture, anomaly_map: Float[ndarray, "H W"], limit: float) -> Picture:
    """The map in colour over the dimmed grey image: the stronger, the more opaque."""
    z = (anomaly_map / limit).clip(0, 1)
    grey = as_rgb(image.mean(2, keepdims=True)) * 0.75
    opacity = (z[..., None] * 2).clip(0, 1) ** 0.75
    overlaid: Picture = (1 - opacity) * grey + opacity * colormaps[COLOURS](z)[..., :3]
    return overlaid


def outlined(picture: Picture, mask: Bool[ndarray, "H W"]) -> Picture:
    """The picture with a two-pixel contour just outside the mask, so that nothing of the defect is hidden."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    rim = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    return np.where(rim[..., None], np.array(TRUTH), picture)


def scaled(picture: ndarray, height: int, interpolation: int = cv2.INTER_CUBIC) -> ndarray:
    """The picture at this height, its aspect kept, at least 24 pixels wide."""
    H, W = picture.shape[:2]
    size = (max(24, round(W * height / H)), height)
    way = interpolation if height >= H or interpolation == cv2.INTER_NEAREST else cv2.INTER_AREA
    resized: ndarray = cv2.resize(np.ascontiguousarray(picture, dtype=np.float32), size, interpolation=way)
    return resized


def as_rgb(picture: ndarray) -> Picture:
    """The picture (H, W, 1 or 3) in three channels, within [0, 1]."""
    return np.broadcast_to(picture.astype(np.float32).clip(0, 1), (*picture.shape[:2], 3))


def blank_figure(width: int, height: int) -> Figure:
    """A figure of so many pixels."""
    return Figure(figsize=(width / 100, height / 100), dpi=100)


def png(figure: Figure, background: Picture | None = None) -> bytes:
    """The figure over a background, as a PNG: several times faster than to have matplotlib draw the background."""
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    with warnings.catch_warnings():  # a path may hold characters that the font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())
    picture = np.ones((*drawn.shape[:2], 3), np.float32) if background is None else background.copy()
    rows = drawn[..., 3].any(1)  # of a sheet, a few lines of text
    ink = drawn[rows].astype(np.float32) / 255
    picture[rows] = ink[..., :3] * ink[..., 3:] + (1 - ink[..., 3:]) * picture[rows]
    return encoded(picture)


def encoded(picture: Picture) -> bytes:
    """The picture itself as a PNG; pixels in [0, 1]."""
    content = cv2.imencode(".png", (picture[..., ::-1] * 255).round().clip(0, 255).astype(np.uint8))[1]
    return bytes(content)


def write_text(figure: Figure, left: float, top: float, text: str, size: float = 8.5, **style: Any) -> None:
    """Write at so many pixels from the left and the top."""
    width, height = figure.get_size_inches() * 100
    style = {"color": TITLE_INK, "va": "top", "ha": "left", "parse_math": False, **style}
    figure.text(left / width, 1 - top / height, text, fontsize=size, **style)


def text_size(figure: Figure, text: str, size: float) -> tuple[float, float]:
    """Width and height that a text will have, in pixels."""
    written = figure.text(0, 0, text, fontsize=size, parse_math=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        box = written.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    written.remove()
    return float(box.width), float(box.height)


def map_legend(figure: Figure, size: tuple[int, int], limit: float) -> None:
    """The colour scale of anomaly maps, at the bottom left; `size` is that of the figure in pixels."""
    figure.figimage(_legend(min(size[0], 700), limit))


@lru_cache(maxsize=16)
def _legend(width: int, limit: float) -> ndarray:
    """What `map_legend` draws, as RGBA; a run needs it dozens of times, and axes are most of the work for a sheet."""
    height = 58  # pixels
    figure = blank_figure(width, height)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((14 / width, 36 / height, min(260, width - 28) / width, 9 / height))
    scale = ScalarMappable(Normalize(0, limit), COLOURS)
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal")
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    write_text(figure, 14, height - 20, "map: standard deviations of normal images", size=8, color=QUIET_INK)
    if width > 620:
        write_text(figure, 300, height - 48, "contour: true defect", size=8, color="#0f9f8f")
        note = f"difference: white = {RESIDUAL_WHITE:.0%} of the pixel range"
        write_text(figure, 300, height - 34, note, size=8, color=QUIET_INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())
