"""The main result: models beside the best classical method, and a table of means and spreads."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.report.paper.controls import beaten, best_control
from anomaly_diffusion.report.paper.drawing import draw_gain, look, model_legend, named, panels, pdf, zero_line
from anomaly_diffusion.report.paper.effects import COMPARED, Effect, effects
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial
from anomaly_diffusion.runs.tables import mean_and_std

__all__ = ["main_result", "result_rows"]

_SHOWN = ("image_auroc", "pixel_ap", "aupro", "aupro_05")


def main_result(study: Study) -> Section | None:
    """The forest and the table; None where no set has a classical method."""
    found = {figure: effects(study, figure) for figure in COMPARED}
    if not found["pixel_ap"]:
        return None
    trials = [trial for data in study.compared for model in study.models for trial in study.plain(data, model)]
    told = {figure: [_told(effect) for effect in some] for figure, some in found.items()}
    table = {"heads": [FIGURES[name] for name in _SHOWN], "rows": result_rows(study, _SHOWN)}
    lost = {figure: beaten(study, figure) for figure in COMPARED}
    return Section({"effects": told, "beaten": lost, **table}, {"forest": Drawn(_forest(list(found.values())), trials)})


def result_rows(study: Study, figures: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each set and model, mean ± standard deviation over runs, best models marked; then the best control."""
    rows = []
    for data in study.data:
        cells = {model: study.plain(data, model) for model in study.models if study.plain(data, model)}
        texts = {model: [_cell(trials, figure) for figure in figures] for model, trials in cells.items()}
        best = [max(_leading(text[place]) for text in texts.values()) for place in range(len(figures))]
        for model, trials in cells.items():
            marks = [len(cells) > 1 and _leading(text) == top for text, top in zip(texts[model], best, strict=True)]
            costs = [_mean(trials, "nfe", 0), _mean(trials, "seconds_per_image", 3), _mean(trials, "peak_memory_mb", 0)]
            row = {"data": data, "model": named(model), "id": model, "runs": len(trials), "cells": texts[model]}
            rows.append(row | {"best": marks, "costs": costs})
        rows.append(_control_row(study, data, figures))
    return rows


def _control_row(study: Study, data: str, figures: Sequence[str]) -> dict[str, Any]:
    """The best control of each figure."""
    found = [best_control(study, data, figure) for figure in figures]
    cells = [f"{control[1]:.3f}" if control else "-" for control in found]
    row = {"data": data, "model": "best control", "id": "control", "runs": "-", "cells": cells}
    return row | {"best": [False] * len(cells), "costs": ["-"] * 3}


def _leading(text: str) -> float:
    """The mean of a cell as it is read; less than any where there is none."""
    return -1.0 if text == "-" else float(text.split(" ")[0])


def _cell(trials: Sequence[Trial], figure: str) -> str:
    return mean_and_std([trial.value(figure) for trial in trials], 3)


def _mean(trials: Sequence[Trial], cost: str, digits: int) -> str:
    return mean_and_std([trial.value(cost) for trial in trials], digits).split(" ")[0]


def _told(effect: Effect) -> dict[str, Any]:
    return {
        "data": effect.data,
        "model": named(effect.model),
        "rival": named(effect.rival),
        "mean": effect.gain.mean,
        "better": effect.gain.better,
        "worse": effect.gain.worse,
        "words": effect.gain.words,
    }


def _forest(several: Sequence[Sequence[Effect]]) -> bytes:
    lines = list(dict.fromkeys((effect.data, effect.model) for some in several for effect in some))
    models = list(dict.fromkeys(model for _, model in lines))
    figure, axes = panels(len(several), len(several), 0.5 + 0.18 * len(lines))
    for place, (axis, some) in enumerate(zip(axes, several, strict=True)):
        _draw(axis, some, lines)
        axis.set_title(FIGURES[some[0].figure] if some else "")
        axis.tick_params(left=False, labelleft=place == 0)
    figure.supxlabel("less the better of PaDiM and PatchCore on the same set", fontsize=7.5)
    model_legend(figure, models)
    return pdf(figure)


def _draw(axes: Axes, some: Sequence[Effect], lines: Sequence[tuple[str, str]]) -> None:
    sets = list(dict.fromkeys(data for data, _ in lines))
    zero_line(axes)
    for place, data in enumerate(sets):
        rows = [row for row, line in enumerate(lines) if line[0] == data]
        if place % 2:
            axes.axhspan(rows[0] - 0.5, rows[-1] + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
    for effect in some:
        row, style = lines.index((effect.data, effect.model)), look(effect.model)
        draw_gain(axes, row, effect.gain, style)
    middles = [sum(row for row, line in enumerate(lines) if line[0] == data) for data in sets]
    counts = [sum(line[0] == data for line in lines) for data in sets]
    axes.set_yticks([middle / count for middle, count in zip(middles, counts, strict=True)], sets)
    axes.set_ylim(len(lines) - 0.5, -0.5)
