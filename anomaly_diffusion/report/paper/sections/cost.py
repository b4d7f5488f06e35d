"""Accuracy over seconds per image."""

from collections.abc import Sequence
from typing import Any

from anomaly_diffusion.report.paper.drawing import log_ticks, look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study
from anomaly_diffusion.runs.cost import CostPoint, cost_panels, lacking, pareto_front

__all__ = ["cost"]


def cost(study: Study) -> Section | None:
    """Pixel AP over seconds of each set, with the models that no other beats; None where nothing was timed."""
    points = {data: found for data in study.compared if (found := _points(study, data))}
    if not points:
        return None
    figure, axes = panels(len(points), 4, 1.7)
    for axis, (data, some) in zip(axes, points.items(), strict=True):
        front = pareto_front(some)
        axis.step([p.seconds for p in front], [p.figure for p in front], where="post", color="#bbbbbb", linewidth=0.9)
        for point in some:
            style = look(point.name)
            axis.errorbar(
                point.seconds, point.figure, point.figure_std, point.seconds_std, ecolor=style.colour, elinewidth=0.9
            )
            axis.plot(point.seconds, point.figure, style.shape, color=style.colour, markersize=5)
        axis.set(title=data, xscale="log")
        log_ticks(axis.xaxis)
    axes[0].set_ylabel("pixel AP")
    figure.supxlabel(
        "seconds per image (bars: standard deviation over seeds; step: no other is as good and as cheap)", fontsize=7.5
    )
    model_legend(figure, study.models)
    trials = [trial for data in points for model in study.models for trial in study.plain(data, model)]
    return Section({"rows": [_row(data, some) for data, some in points.items()]}, {"cost": Drawn(pdf(figure), trials)})


def _points(study: Study, data: str) -> Sequence[CostPoint]:
    runs = {model: [trial.run for trial in study.plain(data, model)] for model in study.models}
    timed = {model: some for model, some in runs.items() if some and not lacking(some, "pixel_ap")}
    return [point for panel in cost_panels(timed, "pixel_ap") for point in panel.points] if timed else []


def _row(data: str, points: Sequence[CostPoint]) -> dict[str, Any]:
    return {"data": data, "front": [named(point.name) for point in pareto_front(points)], "models": len(points)}
