"""Several runs in one chart, a line each."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from anomaly_diffusion.figures.canvas import blank_figure, png
from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.runs.display import Picture

__all__ = ["line_chart"]

_NAMES = FIGURES | {"depth": "depth, sigma / alpha", "psnr": "PSNR on normal images, dB", "ssim": "SSIM"}


def line_chart(
    lines: Mapping[str, Sequence[Mapping[str, float]]], figures: Sequence[str], over: str = "depth", log: bool = True
) -> Picture:
    """A panel for each figure, a line for each run.

    Args:
        lines: points, each with all figures and what they are drawn over, by the name of their line.
        figures: keys of what is drawn, at least one.
        over: key of the horizontal axis.
        log: whether that axis is logarithmic.

    Raises:
        ValueError: there is no figure.
    """
    if not figures:
        raise ValueError("`figures` must name what is drawn, got nothing.")
    drawing = blank_figure(90 + 370 * len(figures), 330)
    panels = drawing.subplots(1, len(figures), squeeze=False)[0]
    for axes, figure in zip(panels, figures, strict=True):
        _draw(axes, lines, figure, over, log)
    drawing.tight_layout(pad=0.8, rect=(0, 0.08, 1, 1))
    handles, names = panels[0].get_legend_handles_labels()
    drawing.legend(handles, names, loc="lower center", ncols=len(names), fontsize=9, frameon=False)
    return Picture(png(drawing))


def _draw(axes: Axes, lines: Mapping[str, Sequence[Mapping[str, float]]], figure: str, over: str, log: bool) -> None:
    for name, points in lines.items():
        axes.plot([point[over] for point in points], [point[figure] for point in points], "o-", ms=3.5, label=name)
    axes.set(xlabel=_NAMES.get(over, over), title=_NAMES.get(figure, figure))
    if log:
        ticks = sorted({point[over] for points in lines.values() for point in points})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks], fontsize=8)
        axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
