"""How a paper's figures look: one colour and one shape for each model, vector graphics with their fonts inside."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from anomaly_diffusion.report.paper.effects import Gain

__all__ = [
    "INK",
    "QUIET",
    "WIDTH",
    "Look",
    "draw_gain",
    "legend",
    "log_ticks",
    "look",
    "model_legend",
    "named",
    "panels",
    "pdf",
    "style",
    "zero_line",
]

WIDTH = 6.7  # inches between the margins of a page
_HEAD = 0.35  # inches for a legend
_LEAST = 0.9  # inches for axes, their titles and labels
INK, QUIET = "#222222", "#8a8a8a"
_FONT = {"font.family": "DejaVu Sans", "font.size": 7.5, "axes.titlesize": 8, "axes.labelsize": 7.5}
_STYLE: dict[Any, Any] = _FONT | {
    "pdf.fonttype": 42,  # whole letters, which can be searched for
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.2,
    "legend.fontsize": 7,
}


@dataclass(frozen=True)
class Look:
    """How a model is drawn: colours are those of Okabe & Ito (2008), which all eyes tell apart.

    Attributes:
        colour: of everything.
        shape: of its marks.
    """

    colour: str
    shape: str


_KNOWN = {
    "feature": Look("#D55E00", "D"),
    "pixel": Look("#0072B2", "o"),
    "latent_taef2": Look("#CC79A7", "P"),
    "latent": Look("#E69F00", "X"),
    "padim": Look("#009E73", "s"),
    "patchcore": Look("#56B4E9", "^"),
}
_OTHERS = [Look("#000000", shape) for shape in "v<>ph*"]
_NAMES = {
    "feature": "feature diffusion",
    "pixel": "pixel diffusion",
    "latent": "latent diffusion",
    "latent_taef2": "latent diffusion (TAEF2)",
    "padim": "PaDiM",
    "patchcore": "PatchCore",
}


def style() -> AbstractContextManager[None]:
    """Within it figures are drawn in the paper's style."""
    return rc_context(_STYLE)


def look(model: str) -> Look:
    """How it is drawn, the same on every figure."""
    return _KNOWN.get(model) or _OTHERS[sum(model.encode()) % len(_OTHERS)]


def named(model: str) -> str:
    """What readers call it."""
    return _NAMES.get(model, model.replace("_", " "))


def panels(count: int, columns: int, height: float, ratios: Sequence[float] = ()) -> tuple[Figure, list[Axes]]:
    """A figure of page width with so many axes.

    Args:
        count: of axes, at least 1.
        columns: at most so many beside one another.
        height: of a row, in inches.
        ratios: heights of rows where they differ, in units of `height`.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    shares = ratios or [1.0] * rows
    figure = Figure(figsize=(WIDTH, max(sum(shares) * height, _LEAST) + _HEAD), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, height_ratios=shares).flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def model_legend(figure: Figure, models: Sequence[str], extra: Sequence[Line2D] = ()) -> None:
    """Name the models at the head of a figure."""
    marks = [
        Line2D([], [], color=look(model).colour, marker=look(model).shape, markersize=4.5, label=named(model))
        for model in models
    ]
    legend(figure, [*marks, *extra])


def draw_gain(axes: Axes, row: int, gain: "Gain", look: Look) -> None:
    """A difference on its row, with a line for its interval where it has one."""
    if gain.low is not None and gain.high is not None:
        axes.plot([gain.low, gain.high], [row, row], color=look.colour, linewidth=1.5)
    axes.plot([gain.mean], [row], marker=look.shape, color=look.colour, markersize=4.5)


def zero_line(axes: Axes) -> None:
    """Axes of differences: a line at zero in place of the axis on the left."""
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)


def legend(figure: Figure, marks: Sequence[Line2D]) -> None:
    """Name marks above all axes."""
    figure.legend(handles=list(marks), loc="outside upper center", ncols=min(6, len(marks)), frameon=False)


def log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2 and 5 of each decade, as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def pdf(figure: Figure) -> bytes:
    """The figure as one page of PDF, the same bits each time."""
    content = io.BytesIO()
    FigureCanvasPdf(figure).print_pdf(content, metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return content.getvalue()
