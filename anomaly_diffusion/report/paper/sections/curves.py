"""Curves over what is chosen by hand: photographs, depth and parametrisation, forward-process noise, strategies."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from anomaly_diffusion import files
from anomaly_diffusion.report.paper.drawing import legend, log_ticks, look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.effects import known
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import CLASSICAL, Study, Trial
from anomaly_diffusion.runs import run_folder

__all__ = ["DEPTH_SWEEP", "NOISES", "PARAMETRISATIONS", "STRATEGIES", "depth", "few_photographs", "noise", "strategies"]

DEPTH_SWEEP = "depth_sweep"
NOISES = ("simplex_noise", "simplex_faithful", "clouds_and_grain", "spectral_noise", "pyramid_noise", "mixture_noise")
PARAMETRISATIONS = ("noise_prediction", "x0_prediction", "flow_prediction", "v_prediction")
STRATEGIES = (
    *("one_shot_noisy", "two_depths", "posterior_average", "ddim", "ancestral", "ddad", "guided", "noise_free_start"),
    *("two_level", "harmonised", "mask_stitch", "adaptive_depth", "inversion"),
)
_INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito (2008)
_FALSE_ALARMS = 0.05
_CLASSES = 4  # of defect sizes


def few_photographs(study: Study) -> Section | None:
    """Pixel AP over the number of normal photographs; None without `<model>-<data>-n<count>` runs."""
    data = [name for name in study.data if any(study.few(name, model) for model in study.models)]
    if not data:
        return None
    figure, axes = panels(len(data), 4, 1.8)
    trials, rows = [], []
    for axis, name in zip(axes, data, strict=True):
        for model in study.models:
            counted = study.few(name, model)
            if counted:
                counted |= {_all_photographs(some): some for some in [_same(study, name, model)] if some}
                _band(axis, {count: known(some, "pixel_ap") for count, some in counted.items()}, model)
                trials += [trial for some in counted.values() for trial in some]
                fewest = min(counted)
                row = {"data": name, "model": named(model), "fewest": fewest}
                rows.append(row | {"share": _ratio(counted[fewest], _same(study, name, model))})
        axis.set(title=name, xscale="log")
        log_ticks(axis.xaxis)
    axes[0].set_ylabel("pixel AP")
    figure.supxlabel("normal photographs (mark: mean; band: least to largest)", fontsize=7.5)
    model_legend(figure, [model for model in study.models if any(row["model"] == named(model) for row in rows)])
    return Section({"rows": rows}, {"few": Drawn(pdf(figure), trials)})


def depth(study: Study) -> Section | None:
    """Pixel AP at each depth by itself, a line for each parametrisation; None where no run was tested at several."""
    lines = _depth_lines(study)
    if not lines:
        return None
    data = list(dict.fromkeys(name for name, *_ in lines))
    figure, axes = panels(len(data), 4, 1.8)
    names = list(dict.fromkeys((model, change) for _, model, change in lines))
    inks = {name: _INKS[place % len(_INKS)] for place, name in enumerate(names)}
    for axis, name in zip(axes, data, strict=True):
        for (_, model, change), some in ((key, some) for key, some in lines.items() if key[0] == name):
            curves = [[(row["depth"], row["pixel_ap"]) for row in trial.run.depths] for trial in some]
            _curve(axis, curves, inks[model, change])
            if fused := known(some, "pixel_ap"):
                axis.axhline(fmean(fused), color=inks[model, change], linestyle="--", linewidth=0.8)
        axis.set(title=name, xscale="log")
        log_ticks(axis.xaxis)
    axes[0].set_ylabel("pixel AP")
    figure.supxlabel("depth (band: least to largest of seeds; dashes: all depths fused)", fontsize=7.5)
    _legend(figure, {_line_name(*name): ink for name, ink in inks.items()})
    rows = [_depth_row(name, model, change, some) for (name, model, change), some in lines.items()]
    return Section({"rows": rows}, {"depth": Drawn(pdf(figure), [trial for some in lines.values() for trial in some])})


def noise(study: Study) -> Section | None:
    """Recall at equal false alarms over the size of defects, a line for each noise; None without a second noise."""
    lines = _beside_shipped(study, NOISES, lambda trial: bool(trial.run.results))
    if not lines:
        return None
    data = list(dict.fromkeys(name for name, *_ in lines))
    figure, axes = panels(len(data), 4, 1.8)
    names = list(dict.fromkeys(change for *_, change in lines))
    inks = {name: _INKS[place % len(_INKS)] for place, name in enumerate(names)}
    for axis, name in zip(axes, data, strict=True):
        for (_, _, change), some in ((key, some) for key, some in lines.items() if key[0] == name):
            _curve(axis, [curve for trial in some if (curve := _recall_by_size(trial))], inks[change])
        axis.set(title=name, xscale="log", ylim=(-0.03, 1.03))
    axes[0].set_ylabel(f"recall at {_FALSE_ALARMS:.0%} false alarms")
    figure.supxlabel("defect, share of the image (band: least to largest of seeds)", fontsize=7.5)
    _legend(figure, {(name or "white noise").replace("_", " "): ink for name, ink in inks.items()})
    rows = [
        {"data": name, "noise": change.replace("_", " ") or "white noise", "pixel_ap": fmean(known(some, "pixel_ap"))}
        for (name, _, change), some in lines.items()
    ]
    return Section({"rows": rows}, {"noise": Drawn(pdf(figure), [trial for some in lines.values() for trial in some])})


def strategies(study: Study) -> Section | None:
    """Pixel AP over network evaluations, a mark for each strategy; None where no other one was tried."""
    lines = _beside_shipped(study, STRATEGIES, lambda trial: trial.value("nfe") is not None)
    if not lines:
        return None
    data = list(dict.fromkeys(name for name, *_ in lines))
    figure, axes = panels(len(data), 4, 1.8)
    names = list(dict.fromkeys(change for *_, change in lines))
    looks = {name: (_INKS[place % len(_INKS)], "osD^vPX"[place // len(_INKS)]) for place, name in enumerate(names)}
    for axis, name in zip(axes, data, strict=True):
        for (_, _, change), some in ((key, some) for key, some in lines.items() if key[0] == name):
            ink, shape = looks[change]
            values = known(some, "pixel_ap")
            axis.plot([fmean(known(some, "nfe"))] * 2, [min(values), max(values)], color=ink, linewidth=1)
            axis.plot(fmean(known(some, "nfe")), fmean(values), shape, color=ink, markersize=5)
        axis.set(title=name, xscale="log")
        log_ticks(axis.xaxis)
    axes[0].set_ylabel("pixel AP")
    figure.supxlabel("network evaluations of one image", fontsize=7.5)
    _legend(figure, {(name or "as shipped").replace("_", " "): ink for name, (ink, _) in looks.items()})
    rows = [
        {"data": name, "strategy": change.replace("_", " ") or "as shipped", "pixel_ap": fmean(known(some, "pixel_ap"))}
        for (name, _, change), some in lines.items()
    ]
    trials = [trial for some in lines.values() for trial in some]
    return Section({"rows": rows}, {"strategies": Drawn(pdf(figure), trials)})


def _beside_shipped(
    study: Study, changes: Sequence[str], usable: Callable[[Trial], bool]
) -> dict[tuple[str, str, str], list[Trial]]:
    """Trials of diffusion models by set, model and change ("" as shipped), as far as they can be drawn.

    Models of which nothing was changed on a set are left out.
    """
    found: dict[tuple[str, str, str], list[Trial]] = {}
    for name in study.data:
        for model in study.models:
            if model not in CLASSICAL:
                some = {"": study.plain(name, model)} | study.changed(name, model, changes)
                found |= {
                    (name, model, change): use for change, ts in some.items() if (use := list(filter(usable, ts)))
                }
    changed = {key[:2] for key in found if key[2]}
    return {key: some for key, some in found.items() if key[:2] in changed}


def _depth_lines(study: Study) -> dict[tuple[str, str, str], list[Trial]]:
    """Likewise; trials of the depth sweep where there are any, else those that were judged at several depths."""
    found: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in study.trials:
        change = "-".join(name for name in trial.changes if name != DEPTH_SWEEP)
        if change in ("", *PARAMETRISATIONS) and trial.photographs is None and len(trial.run.depths) > 1:
            found.setdefault((trial.data, trial.model, change), []).append(trial)
    swept = {key: [trial for trial in some if DEPTH_SWEEP in trial.changes] for key, some in found.items()}
    return {key: swept[key] or some for key, some in sorted(found.items())}


def _band(axes: Axes, values: Mapping[int, Sequence[float]], model: str) -> None:
    drawn = {place: some for place, some in values.items() if some}
    style, places = look(model), list(drawn)
    low, high = ([end(some) for some in drawn.values()] for end in (min, max))
    axes.fill_between(places, low, high, color=style.colour, alpha=0.2, linewidth=0)
    axes.plot(places, [fmean(some) for some in drawn.values()], style.shape + "-", color=style.colour, markersize=4)


def _curve(axes: Axes, curves: Sequence[Sequence[tuple[float, float]]], ink: str) -> None:
    """The mean of curves over the same places, with a band from the least to the largest."""
    same = [curve for curve in curves if len(curve) == len(curves[0])]
    if not same:
        return
    places, values = np.array(same)[0, :, 0], np.array(same)[:, :, 1]
    axes.fill_between(places, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
    axes.plot(places, values.mean(0), "o-", color=ink, markersize=3)


def _legend(figure: Figure, inks: Mapping[str, str]) -> None:
    legend(figure, [Line2D([], [], color=ink, marker="o", markersize=4, label=name) for name, ink in inks.items()])


def _line_name(model: str, change: str) -> str:
    return f"{named(model)}{', ' + change.replace('_', ' ') if change else ''}"


def _depth_row(data: str, model: str, change: str, some: Sequence[Trial]) -> dict[str, Any]:
    ends = [(trial.run.depths[0], trial.run.depths[-1]) for trial in some]
    best = [max(trial.run.depths, key=lambda row: row["pixel_ap"])["depth"] for trial in some]
    row = {"data": data, "line": _line_name(model, change), "best": fmean(best)}
    return row | {"shallowest": ends[0][0]["depth"], "deepest": ends[0][1]["depth"]}


def _recall_by_size(trial: Trial) -> list[tuple[float, float]]:
    """Share of equally many defects of each size that score more than all but a twentieth of normal test images."""
    normal = [result.score for result in trial.run.results if result.label == 0]
    sized = sorted((result.defect_share, result.score) for result in trial.run.results if result.defect_share > 0)
    if not normal or len(sized) < _CLASSES:
        return []
    limit = np.quantile(normal, 1 - _FALSE_ALARMS)
    parts = np.array_split(np.array(sized), _CLASSES)
    return [(float(np.exp(np.log(part[:, 0]).mean())), float((part[:, 1] > limit).mean())) for part in parts]


def _same(study: Study, data: str, model: str) -> list[Trial]:
    """Trials with all photographs of a network as large as that of trials with few: else it is another model."""
    sizes = {trial.value("parameters") for some in study.few(data, model).values() for trial in some}
    same = [trial for trial in study.plain(data, model) if trial.value("parameters") in sizes]
    return same if _all_photographs(same) else []


def _all_photographs(trials: Sequence[Trial]) -> int:
    for trial in trials:
        path = trial.run.folder / run_folder.SPLIT
        if path.is_file():
            return len(files.read_mapping(path).get("train", []))
    return 0


def _ratio(few: Sequence[Trial], everything: Sequence[Trial]) -> float | None:
    values = known(few, "pixel_ap"), known(everything, "pixel_ap")
    return fmean(values[0]) / fmean(values[1]) if all(values) and not math.isclose(fmean(values[1]), 0) else None
