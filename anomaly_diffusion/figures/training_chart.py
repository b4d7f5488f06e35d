"""Training loss and validation figures over the steps of a run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from anomaly_diffusion.figures.canvas import blank_figure, png

__all__ = ["training_chart"]


def training_chart(losses: Sequence[tuple[int, float]], figures: Sequence[tuple[int, dict[str, float]]]) -> bytes:
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
