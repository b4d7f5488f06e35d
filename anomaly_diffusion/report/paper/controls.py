"""Controls that have learnt nothing, beside the models: where one is better, the model has shown nothing."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from anomaly_diffusion.names import CONTROLS
from anomaly_diffusion.report.paper.drawing import named
from anomaly_diffusion.report.paper.effects import known
from anomaly_diffusion.report.paper.study import Study, Trial

__all__ = ["beaten", "best_control"]


def best_control(study: Study, data: str, figure: str) -> tuple[str, float] | None:
    """The name of the control that is best on a set, and its mean over all runs; None where no run has measured any.

    Args:
        study: the runs.
        data: the set.
        figure: of `names.FIGURES`.
    """
    found: dict[str, list[float]] = {}
    for trial in (trial for model in study.models for trial in study.plain(data, model)):
        for name, value in _controls(trial, figure).items():
            found.setdefault(name, []).append(value)
    means = {name: fmean(values) for name, values in found.items()}
    best = max(means, key=lambda name: means[name], default=None)
    return None if best is None else (CONTROLS.get(best, best), means[best])


def beaten(study: Study, figure: str) -> list[dict[str, Any]]:
    """Each set with a control that is better than models, and which these are.

    Args:
        study: the runs.
        figure: of `names.FIGURES`.
    """
    rows = []
    for data in study.compared:
        control = best_control(study, data, figure)
        means = {model: fmean(values) for model in study.models if (values := known(study.plain(data, model), figure))}
        below = [named(model) for model, mean in means.items() if control and mean < control[1]]
        if control and below:
            rows.append({"data": data, "control": control[0], "value": control[1], "models": below})
    return rows


def _controls(trial: Trial, figure: str) -> dict[str, float]:
    controls: Mapping[str, Mapping[str, Any]] = trial.run.summary.get("controls") or {}
    return {name: float(value) for name, one in controls.items() if (value := one.get(figure)) is not None}
