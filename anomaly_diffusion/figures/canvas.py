"""Drawing pictures: overlays, contours, scales and text, and how matplotlib's objects become a PNG without pyplot."""

import io
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy import ndarray

Picture = Float[ndarray, "H W C"]
COLOURS = "inferno"
TRUTH = (0.15, 0.95, 0.85)  # contour of the mask: a hue that neither photographs nor the colour map have
CELL, RIM = 100, 4  # pixels that each tile has at least for its name, and those beside it
FOOT = 58  # pixels below a sheet for the scale of its maps
_SCALE, _LINE = 260, 14  # width of that scale; height of a note
_BESIDE = 830  # width of a sheet that has both side by side
RESIDUAL_WHITE = 0.25  # a difference of a quarter of the pixel range is white
TITLE_INK, QUIET_INK = "#111111", "#666666"
RIGHT, WRONG = "#0072B2", "#D55E00"  # blue and vermilion of Okabe & Ito (2008), which all eyes tell apart
MARKS = {  # outcomes and verdicts: words and marks say what the colour says
    "found": "✓",
    "passed": "✓",
    "normal": "✓",
    "found elsewhere": "✓✗",
    "missed": "✗",
    "false alarm": "✗",
    "defective": "✗",
}


def overlay(image: Picture, anomaly_map: Float[ndarray, "H W"], limit: float) -> Picture:
    """The map in colour over the dimmed grey image: the stronger, the more opaque."""
    z = (anomaly_map / limit).clip(0, 1)
    grey = as_rgb(image.mean(2, keepdims=True)) * 0.75
    opacity = (z[..., None] * 2).clip(0, 1) ** 0.75
    overlaid: Picture = (1 - opacity) * grey + opacity * colormaps[COLOURS](z)[..., :3]
    return overlaid


def outlined(picture: Picture, mask: Bool[ndarray, "H W"]) -> Picture:
    """The picture with a contour of one pixel just outside the mask, so that nothing of the defect is hidden."""
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    rim = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask
    return np.where(rim[..., None], np.array(TRUTH), picture)


def crossed(picture: Picture, place: tuple[int, int]) -> Picture:
    """The picture with a white cross, edged in black, at a place (column, row)."""
    drawn = np.ascontiguousarray(picture, dtype=np.float32).copy()
    for colour, size, thickness in ((0.0, 13, 3), (1.0, 11, 1)):
        cv2.drawMarker(drawn, place, (colour,) * 3, cv2.MARKER_TILTED_CROSS, size, thickness)
    return drawn


def roomy(tile: Picture) -> Picture:
    """The tile in the middle of a cell that is wide enough for its name, with a rim at the right and below."""
    room = max(0, CELL - tile.shape[1])
    padding = ((0, RIM), (room // 2, room - room // 2 + RIM), (0, 0))
    return np.pad(tile.clip(0, 1), padding, constant_values=1)


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


def drawn(figure: Figure, ending: str = ".png") -> bytes:
    """The figure as a file of that ending; PDF and SVG are drawn in lines and hold their fonts.

    Args:
        figure: what is drawn.
        ending: one of `names.CHARTS`, in any case.
    """
    form = ending.lower().removeprefix(".")
    if form == "png":
        return png(figure)
    undated = {"CreationDate": None} if form == "pdf" else {"Date": None}  # one chart is one file, whenever drawn
    fonts = rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "anomaly_diffusion"})
    written = io.BytesIO()
    with warnings.catch_warnings(), fonts:
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(written, format=form, metadata=undated)
    return written.getvalue()


def encoded(picture: Picture) -> bytes:
    """The picture itself as a PNG; pixels in [0, 1]."""
    content = cv2.imencode(".png", (picture[..., ::-1] * 255).round().clip(0, 255).astype(np.uint8))[1]
    return bytes(content)


def write_text(figure: Figure, left: float, top: float, text: str, size: float = 8.5, **style: Any) -> None:
    """Write at so many pixels from the left and the top."""
    width, height = figure.get_size_inches() * 100
    style = {"color": TITLE_INK, "va": "top", "ha": "left", "parse_math": False, **style}
    figure.text(left / width, 1 - top / height, text, fontsize=size, **style)


def text_size(figure: Figure, text: str, size: float, weight: str = "normal") -> tuple[float, float]:
    """Width and height that a text will have, in pixels."""
    written = figure.text(0, 0, text, fontsize=size, fontweight=weight, parse_math=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        box = written.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    written.remove()
    return float(box.width), float(box.height)


def shortened(figure: Figure, text: str, room: float, size: float = 8.5, end: bool = True) -> str:
    """As much of a text as so many pixels have room for: its end, or its beginning, and an ellipsis for the rest."""
    count = len(text)
    while count > 1 and (wide := text_size(figure, _part(text, count, end), size)[0]) > room:
        count = max(1, min(count - 1, int(count * room / wide)))
    return _part(text, count, end)


def _part(text: str, count: int, end: bool) -> str:
    if count >= len(text):
        return text
    return "…" + text[-count:] if end else text[:count] + "…"


def map_legend(figure: Figure, size: tuple[int, int], limit: float, notes: Sequence[str] = ()) -> None:
    """The colour scale of anomaly maps, at the bottom left, and what else a sheet shows.

    Args:
        figure: the sheet.
        size: its width and height, in pixels.
        limit: where the scale ends; larger values have the same colour.
        notes: a line each, beside the scale or, on a narrow sheet, above it: see `legend_height`.
    """
    width, height = size
    figure.figimage(_scale(min(width, _SCALE + 40), limit))
    narrow = width < _BESIDE
    left, top = (14, height - FOOT - _LINE * len(notes) + 6) if narrow else (_SCALE + 40, height - FOOT + 10)
    for place, note in enumerate(notes):
        write_text(figure, left, top + _LINE * place, note, size=8, color=QUIET_INK)


def legend_height(width: float, notes: Sequence[str]) -> int:
    """Pixels that `map_legend` needs below a sheet of that width."""
    return FOOT + (_LINE * len(notes) if width < _BESIDE else 0)


@lru_cache(maxsize=16)
def _scale(width: int, limit: float) -> ndarray:
    """The scale of `map_legend`, as RGBA; a run needs it dozens of times, and axes are most of the work for a sheet."""
    figure = blank_figure(width, FOOT)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((14 / width, 36 / FOOT, min(_SCALE, width - 28) / width, 9 / FOOT))
    bar = figure.colorbar(ScalarMappable(Normalize(0, limit), COLOURS), cax=axes, orientation="horizontal")
    ticks = np.linspace(0, limit, 5)
    bar.set_ticks(ticks.tolist(), labels=[f"{tick:g}" for tick in ticks[:-1]] + [f"{limit:g}+"])
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    write_text(figure, 14, FOOT - 20, "map: standard deviations of normal images", size=8, color=QUIET_INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())
