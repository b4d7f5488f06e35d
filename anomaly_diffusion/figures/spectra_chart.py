"""Radial power spectra of images and of their reconstructions as a picture."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy import ndarray

from anomaly_diffusion.figures.canvas import QUIET_INK, TITLE_INK, blank_figure, png
from anomaly_diffusion.measures.spectra import BANDS

__all__ = ["spectra_chart"]

Spectrum = Float[ndarray, " K"]
_TINY = 1e-12  # a logarithmic axis has no zero
_LINEAR = 3.0  # times the reference, up to which the axis is linear
_LEAST = 1e-3  # of the reference, the least that a logarithmic axis shows
_TICKS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)


def spectra_chart(
    frequencies: Spectrum,
    image: Spectrum,
    reference: Spectrum,
    reconstruction: Mapping[str, Spectrum],
    title: str = "",
) -> bytes:
    """Power over frequency (left), and what reconstructions keep of it (right), as a PNG.

    Args:
        frequencies: in cycles per pixel, rising.
        image: mean power of the images.
        reference: that of what perfect reconstructions would be; not drawn where it is that of the images.
        reconstruction: that of reconstructions, by the name of their depth.
        title: the headline.
    """
    figure = blank_figure(1000, 430)
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.13, top=0.87 if title else 0.92, wspace=0.17)
    left, right = figure.subplots(1, 2)
    left.plot(frequencies, image + _TINY, color=TITLE_INK, linewidth=2, label="image")
    if not np.allclose(image, reference, rtol=1e-4):
        left.plot(frequencies, reference + _TINY, color=TITLE_INK, linewidth=1.2, linestyle="--", label="codec alone")
        right.plot(frequencies, _ratio(reference, image), color=TITLE_INK, linewidth=1.2, linestyle="--")
    for colour, (name, power) in zip(_colours(len(reconstruction)), reconstruction.items(), strict=True):
        left.plot(frequencies, power + _TINY, color=colour, linewidth=1.4, label=name)
        right.plot(frequencies, _ratio(power, reference), color=colour, linewidth=1.4)
    left.set(title="power", yscale="log")
    right.set(title="power kept: reconstruction / reference")
    _kept_axis(right, [_ratio(power, reference) for power in reconstruction.values()])
    right.axhline(1, color=QUIET_INK, linewidth=0.8)
    for axes in (left, right):
        _axis(axes, frequencies)
    _name_bands(right, float(frequencies[0]))
    left.legend(loc="lower left", fontsize=8, framealpha=0.7, edgecolor="none", ncols=1 + len(reconstruction) // 5)
    figure.suptitle(title, fontsize=10)
    return png(figure)


def _axis(axes: Axes, frequencies: Spectrum) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(float(frequencies[0]), 0.5)
    axes.set_xticks([tick for tick in _TICKS if tick >= frequencies[0]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1/{1 / value:.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("cycles per pixel")
    axes.grid(alpha=0.25)
    for low, _ in list(BANDS.values())[1:]:
        axes.axvline(low, color=QUIET_INK, linewidth=0.8, linestyle=":")


def _name_bands(axes: Axes, lowest: float) -> None:
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
    for name, (low, high) in BANDS.items():
        if high > lowest:
            place = axes.get_xaxis_transform()
            text = axes.text((max(low, lowest) * high) ** 0.5, 0.98, name, transform=place, bbox=box)
            text.set(ha="center", va="top", fontsize=8, color=QUIET_INK)


def _ratio(power: Spectrum, reference: Spectrum) -> Spectrum:
    share: ndarray = (power + _TINY) / (reference + _TINY)
    return share


def _kept_axis(axes: Axes, kept: list[Spectrum]) -> None:
    """All of it in sight: a linear axis from zero, or a logarithmic one where some power is many times too large."""
    values = np.concatenate([np.ones(1), *kept])
    if values.max() <= _LINEAR:
        axes.set_ylim(0, max(1.2, 1.15 * float(values.max())))
        return
    axes.set(yscale="log", ylim=(max(0.8 * float(values.min()), _LEAST), 1.5 * float(values.max())))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _colours(count: int) -> list[tuple[float, ...]]:
    return [colormaps["viridis"](place) for place in np.linspace(0, 0.85, count)]
