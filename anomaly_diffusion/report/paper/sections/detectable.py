"""Which width of painted defect is found, of every set and model that was asked."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from anomaly_diffusion.report.paper.drawing import INK, QUIET, look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study
from anomaly_diffusion.runs.detection_panels import DetectionMark, DetectionPanel, detection_panels

__all__ = ["detectable"]


def detectable(study: Study) -> Section | None:
    """A chart and a table; None where no run has been asked."""
    asked = [
        trial for trial in study.trials if trial.plain and trial.data in study.compared and trial.run.detection_limit
    ]
    if not asked:
        return None
    found: dict[tuple[str, str], list[DetectionMark]] = {}
    charted = {}
    for data in dict.fromkeys(trial.data for trial in asked):
        some = {trial.model: [trial.run] for trial in asked if trial.data == data}  # one run of each is enough
        (panel,) = detection_panels(some)
        charted[data] = panel
        for model in some:
            found[data, model] = [mark for mark in panel.marks if mark.method in (model, _class(some[model]))]
    rows = [_row(data, model, marks) for (data, model), marks in found.items()]
    families = list(dict.fromkeys(mark.family for marks in found.values() for mark in marks))
    cells = [
        {**row, "cells": [_cell(found[key], family, min(charted[key[0]].widths)) for family in families]}
        for row, key in zip(rows, found, strict=True)
    ]
    models = [model for model in study.models if any(key[1] == model for key in found)]
    picture = Drawn(_chart(charted, found, families, models), asked)
    return Section({"rows": cells, "families": [_plain(name) for name in families]}, {"detectable": picture})


def _class(runs: Sequence[Any]) -> str:
    return str(runs[0].setting("model"))


def _row(data: str, model: str, marks: Sequence[DetectionMark]) -> dict[str, Any]:
    return {
        "data": data,
        "model": named(model),
        "families": len(marks),
        "reached": sum(mark.a90 is not None for mark in marks),
    }


def _cell(marks: Sequence[DetectionMark], family: str, least: float) -> str:
    """The width of which 90 % are found, from the least that was painted; else the share found; a dash without any."""
    mark = next((mark for mark in marks if mark.family == family), None)
    if mark is None or math.isnan(mark.found):
        return "-"
    if mark.a90 is None:
        return f"({mark.found:.0%})"
    return f"{100 * mark.a90:.2g} %" if mark.a90 >= least else f"< {100 * least:.2g} %"


def _plain(family: str) -> str:
    return family.replace("_", " ")


def _chart(
    charted: dict[str, DetectionPanel],
    found: dict[tuple[str, str], list[DetectionMark]],
    families: Sequence[str],
    models: Sequence[str],
) -> bytes:
    figure, axes = panels(len(charted), 4, 0.6 + 0.28 * len(families))
    for place, (axis, (data, panel)) in enumerate(zip(axes, charted.items(), strict=True)):
        low, high = min(panel.widths), max(panel.widths)
        never = high * (high / low) ** 0.2
        axis.axvspan(high * (high / low) ** 0.08, never * (high / low) ** 0.12, color="#ececec", linewidth=0)
        for number, model in enumerate(models):
            offset = 0.7 * ((number + 0.5) / len(models) - 0.5)
            for mark in found.get((data, model), ()):
                _mark(axis, mark, families.index(mark.family) + offset, model, (low, never))
        for row in range(1, len(families)):
            axis.axhline(row - 0.5, color="#dddddd", linewidth=0.5)
        axis.set_xscale("log")
        axis.set(title=data, xlim=(low * 0.8, never * (high / low) ** 0.12), ylim=(len(families) - 0.5, -0.5))
        ticks = [tick for tick in (0.01, 0.02, 0.04, 0.08, 0.16) if low * 0.8 <= tick <= high * 1.1]
        axis.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
        axis.minorticks_off()
        labelled = place % 4 == 0
        axis.set_yticks(range(len(families)), [_plain(name) for name in families] if labelled else [])
    figure.supxlabel("width of which 90 % are found, share of the shorter side", fontsize=7.5)
    never = Line2D(
        [], [], color=INK, marker="o", markerfacecolor="none", linestyle="", markersize=4, label="never 90 %"
    )
    model_legend(figure, models, [never])
    return pdf(figure)


def _mark(axes: Axes, mark: DetectionMark, row: float, model: str, ends: tuple[float, float]) -> None:
    """At the width of which 90 % are found, at least the first of `ends`; hollow at the last one without any."""
    style, (least, never) = look(model), ends
    if mark.a90 is None:
        axes.plot(never, row, style.shape, color=style.colour, markersize=3.5, markerfacecolor="none")
        return
    width = max(mark.a90, least)
    if mark.bound:
        axes.plot([width, max(mark.bound, least)], [row, row], color=style.colour, linewidth=1.2)
    axes.plot(width, row, style.shape, color=style.colour, markersize=4, markeredgecolor=QUIET, markeredgewidth=0.3)
