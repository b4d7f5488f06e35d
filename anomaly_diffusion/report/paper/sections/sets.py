"""The data: what was tested, how large and how strong its defects are, and what a detector could cheat with."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.names import CONTROLS
from anomaly_diffusion.report.paper.drawing import look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.effects import known
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial
from anomaly_diffusion.runs import run_folder

__all__ = ["sets"]

_GLOBAL = ("brightness", "contrast", "sharpness", "brightness_raw")


def sets(study: Study) -> Section:
    """A row for each set, and validation beside test."""
    first = {
        data: next(study.plain(data, model) for model in study.models if study.plain(data, model))
        for data in study.data
    }
    rows = [_row(data, trials, study) for data, trials in first.items()]
    ranked = [ranks for data in study.compared if (ranks := _ranks(study, data))]
    data: dict[str, Any] = {"rows": rows, "choices": ranked}
    trials = [t for t in study.trials if t.plain and t.data in study.compared and _painted(t) is not None]
    return Section(data, {"painted": Drawn(_painted_beside_real(study), trials)} if trials else {})


def _row(data: str, trials: Sequence[Trial], study: Study) -> dict[str, Any]:
    run = trials[0].run
    split = files.read_mapping(run.folder / run_folder.SPLIT) if (run.folder / run_folder.SPLIT).is_file() else {}
    labels = [result.label for result in run.results]
    shares = [result.defect_share for result in run.results if result.defect_share > 0]
    real = _real_defects(study, data)
    verdicts = run.summary.get("verdicts") or {}
    control, auroc = _shortcut(run.summary.get("controls") or {})
    return {
        "data": data,
        "size": run.data_set.rpartition(", ")[2],
        "train": len(split.get("train", [])) or None,
        "held_out": verdicts.get("normals"),
        "normal": labels.count(0),
        "defective": labels.count(1),
        "kinds": len({result.kind for result in run.results if result.label}),
        "share": median(shares) if shares else None,
        "width": median(one["width"] for one in real) if real else None,
        "cnr": median(one["cnr"] for one in real) if real else None,
        "control": CONTROLS.get(control, control),
        "control_auroc": auroc,
        "drift_normal": (verdicts.get("drift_normal") or {}).get("share"),
        "drift_defective": (verdicts.get("drift_defective") or {}).get("share"),
        "best_image_auroc": _best(study, data),
    }


def _shortcut(controls: Mapping[str, Mapping[str, Any]]) -> tuple[str, float | None]:
    """The statistic of the whole image that tells defective from normal best, and how well."""
    values = {name: controls[name].get("image_auroc") for name in _GLOBAL if name in controls}
    told = {name: float(value) for name, value in values.items() if value is not None}
    best = max(told, key=lambda name: told[name], default="")
    return best, told.get(best)


def _best(study: Study, data: str) -> float:
    """Image AUROC of the model that has the best."""
    means = [fmean(values) for model in study.models if (values := known(study.plain(data, model), "image_auroc"))]
    return max(means, default=math.nan)


def _real_defects(study: Study, data: str) -> list[dict[str, Any]]:
    found = (trial.run.detection_limit for model in study.models for trial in study.plain(data, model))
    real: list[dict[str, Any]] = next((limit["real"] for limit in found if limit.get("real")), [])
    return [one for one in real if math.isfinite(one["width"]) and one["cnr"] is not None]


def _painted(trial: Trial) -> float | None:
    value = files.nested(trial.run.summary, trial.run.folder, "validation").get("pixel_ap")
    return None if value is None else float(value)


def _ranks(study: Study, data: str) -> dict[str, Any]:
    """Which model painted defects prefer, and which real ones do; nothing where there are fewer than two."""
    painted, real = {}, {}
    for model in study.models:
        trials = study.plain(data, model)
        values = [value for trial in trials if (value := _painted(trial)) is not None]
        if values and known(trials, "pixel_ap"):
            painted[model], real[model] = fmean(values), fmean(known(trials, "pixel_ap"))
    if len(painted) < 2:
        return {}
    chosen, best = (max(found, key=lambda model: found[model]) for found in (painted, real))
    lost = real[best] - real[chosen]
    return {"data": data, "chosen": named(chosen), "best": named(best), "right": chosen == best, "lost": lost}


def _painted_beside_real(study: Study) -> bytes:
    figure, axes = panels(len(study.compared), 4, 1.75)
    for axis, data in zip(axes, study.compared, strict=True):
        values = [0.01]
        for trial in (trial for model in study.models for trial in study.plain(data, model)):
            painted, real = _painted(trial), trial.value("pixel_ap")
            if painted is not None and real is not None:
                style = look(trial.model)
                axis.plot(painted, real, style.shape, color=style.colour, markersize=4.5, alpha=0.85)
                values += [painted, real]
        top = 1.1 * max(values)
        axis.axline((0, 0), slope=1, color="#cccccc", linewidth=0.7, zorder=0)
        axis.set(xlim=(0, top), ylim=(0, top), title=data)
        axis.locator_params(nbins=4)
    figure.supxlabel("pixel AP on painted defects (validation)", fontsize=7.5)
    axes[0].set_ylabel("pixel AP on real defects")
    model_legend(figure, study.models)
    return pdf(figure)
