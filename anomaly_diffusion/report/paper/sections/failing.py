"""Failures with their cause: missed defects and false alarms, counted, and the worst of them by name."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from anomaly_diffusion.report.paper.drawing import legend, named, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial

if TYPE_CHECKING:
    from anomaly_diffusion.types import ImageResult

__all__ = ["failing"]

_CAUSES = {
    "peak on it, too weak": "#4d4d4d",
    "peak elsewhere": "#E69F00",
    "no mask": "#d0d0d0",
}
_LISTED = 4


def failing(study: Study) -> Section | None:
    """What missed defects have in common, and the worst cases of the model that finds most; None without verdicts."""
    judged = [
        t
        for t in study.trials
        if t.plain and t.data in study.compared and any(result.verdict for result in t.run.results)
    ]
    firsts = [next(t for t in judged if (t.data, t.model) == key) for key in {(t.data, t.model): None for t in judged}]
    if not firsts:
        return None
    data = [name for name in study.compared if any(trial.data == name for trial in firsts)]
    models = [model for model in study.models if any(trial.model == model for trial in firsts)]
    shown = max(models, key=lambda model: sum(_found(trial) for trial in firsts if trial.model == model))
    pictured = [trial for name in data for trial in firsts if (trial.data, trial.model) == (name, shown)]
    counted = [{"data": t.data, "model": named(t.model), **_counted(t)} for t in firsts]
    told: dict[str, Any] = {"counts": counted, "model": named(shown)}
    told["missed"] = _worst(pictured, "missed")
    told["alarms"] = _worst(pictured, "false alarm")
    return Section(told, {"missed": Drawn(_chart(firsts, data, models), firsts)})


def _found(trial: Trial) -> int:
    return sum(result.outcome == "found" for result in trial.run.results)


def _cause(result: "ImageResult") -> str:
    if result.verdict is None or result.verdict.in_place is None:
        return "no mask"
    return "peak on it, too weak" if result.verdict.in_place else "peak elsewhere"


def _counted(trial: Trial) -> dict[str, Any]:
    missed = [result for result in trial.run.results if result.outcome == "missed"]
    alarms = [result for result in trial.run.results if result.outcome == "false alarm"]
    causes = Counter(map(_cause, missed))
    drifted = sum(bool(result.verdict and result.verdict.drift) for result in alarms)
    return {"missed": len(missed), "weak": causes["peak on it, too weak"], "alarms": len(alarms), "drifted": drifted}


def _worst(trials: Sequence[Trial], outcome: str) -> list[dict[str, Any]]:
    """The clearest cases, one of each set in turn: missed defects far below their limit, false alarms far above."""
    ranked = []
    for trial in trials:
        cases = [result for result in trial.run.results if result.outcome == outcome]
        cases.sort(key=lambda result: _share(result) if outcome == "missed" else -_share(result))
        ranked += [(turn, trial, result) for turn, result in enumerate(cases[:_LISTED])]
    ranked.sort(key=lambda case: case[0])
    return [_case(trial, result) for _, trial, result in ranked[:_LISTED]]


def _share(result: "ImageResult") -> float:
    return result.score / result.verdict.limit if result.verdict else 0.0


def _case(trial: Trial, result: "ImageResult") -> dict[str, Any]:
    drift = result.verdict.drift if result.verdict else ""
    cause = _cause(result) if result.label else drift or "like all normal images"
    return {
        "data": trial.data,
        "path": result.path,
        "kind": result.kind.replace("_", " "),
        "share": _share(result),
        "size": result.defect_share,
        "cause": cause,
    }


def _chart(firsts: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    figure, axes = panels(len(data), 4, 0.5 + 0.2 * len(models))
    for place, (axis, name) in enumerate(zip(axes, data, strict=True)):
        for row, model in enumerate(models):
            trial = next((t for t in firsts if (t.data, t.model) == (name, model)), None)
            left = 0.0
            for cause, count in _shares(trial).items() if trial else ():
                axis.barh(row, count, 0.7, left=left, color=_CAUSES[cause])
                left += count
        axis.set(title=name, xlim=(0, 1), ylim=(len(models) - 0.5, -0.5))
        axis.set_yticks(range(len(models)), [named(model) for model in models] if place % 4 == 0 else [])
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.locator_params(axis="x", nbins=3)
    figure.supxlabel("defects that are missed, share of all (one run of each model)", fontsize=7.5)
    bars = [Line2D([], [], color=ink, linewidth=5, label=cause) for cause, ink in _CAUSES.items()]
    legend(figure, bars)
    return pdf(figure)


def _shares(trial: Trial) -> dict[str, float]:
    defective = sum(result.label == 1 for result in trial.run.results)
    causes = Counter(_cause(result) for result in trial.run.results if result.outcome == "missed")
    return {cause: causes[cause] / defective for cause in _CAUSES}
