"""The depth curve as a picture."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from anomaly_diffusion.figures.canvas import blank_figure, png
from anomaly_diffusion.measures.depth_sensitivity import robust_interval
from anomaly_diffusion.names import FIGURES

_DETECTION = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")
_FIDELITY = {"psnr": ("PSNR, dB", "#1f77b4"), "ssim": ("SSIM", "#c1440e")}


def curve(depths: Sequence[float], figures: Sequence[Mapping[str, float]], title: str = "") -> bytes:
    """Detection (left) and fidelity on normal images (right) over depth, with the robust intervals, as a PNG.

    Args:
        depths: rising, > 0, at least two.
        figures: for each depth, detection under its public names, "psnr" in dB and "ssim".
        title: the headline.
    """
    figure = blank_figure(1000, 400)
    figure.subplots_adjust(left=0.05, right=0.93, bottom=0.14, top=0.88 - 0.04 * bool(title), wspace=0.16)
    left, right = figure.subplots(1, 2)
    _detection(left, depths, figures)
    for axes, (name, (label, colour)) in zip((right, right.twinx()), _FIDELITY.items(), strict=True):
        axes.plot(depths, [row[name] for row in figures], marker="o", markersize=3, color=colour)
        axes.set_ylabel(label, color=colour)
    right.set_title("fidelity on normal images")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(depths), [f"{depth:.2g}" for depth in depths], fontsize=8)
        axes.set_xlabel("depth, sigma / alpha")
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=10)
    return png(figure)


def _detection(axes: Axes, depths: Sequence[float], figures: Sequence[Mapping[str, float]]) -> None:
    for place, name in enumerate(name for name in _DETECTION if name in figures[0]):
        values = [row[name] for row in figures]
        (line,) = axes.plot(depths, values, marker="o", markersize=3, label=FIGURES[name])
        reach = robust_interval(depths, values)
        axes.plot([reach.low, reach.high], [0.02 + 0.025 * place] * 2, color=line.get_color(), linewidth=4)
    axes.set(title="detection (bars: within a point of the best)", ylim=(0, 1.14))
    axes.legend(
        fontsize=8, framealpha=0.7, edgecolor="none", ncols=4, loc="upper center", columnspacing=1, handlelength=1
    )
