"""Can one act on it? Scores with their limit, ROC, recall by kind, and false alarms beside what was promised."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy import stats

from anomaly_diffusion.report.paper.drawing import INK, QUIET, legend, look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial

__all__ = ["acting", "most_promised"]

_LARGEST = 2.5  # limits; what scores more is drawn there
_BINS = np.linspace(0, _LARGEST, 31).tolist()
_WITHIN = 0.975
_ENOUGH = 10  # found defects, of which a share is told
_KIND = 18  # characters of a name


def acting(study: Study) -> Section | None:
    """Four figures, and how often the promise was kept; None where no run has a limit."""
    shown = [trial for trial in study.trials if trial.plain and trial.data in study.compared]
    judged = [trial for trial in shown if _verdicts(trial) and trial.run.results]
    if not judged:
        return None
    data = [name for name in study.compared if any(trial.data == name for trial in judged)]
    models = [model for model in study.models if any(trial.model == model for trial in judged)]
    pairs = [(name, model) for name in data for model in models]
    seeds = [[trial for trial in judged if (trial.data, trial.model) == pair] for pair in pairs]
    rows = [_row(some) for some in seeds if some]
    firsts = [some[0] for some in seeds if some]
    figures = {
        "scores": Drawn(_scores(firsts, data, models), firsts),
        "roc": Drawn(_roc(firsts, data, models), firsts),
        "recall": Drawn(_recall(judged, data, models), judged),
        "alarms": Drawn(_alarms(judged, data, models), judged),
    }
    broken = [trial for trial in judged if _verdicts(trial)["false_alarms"]["hits"] > most_promised(_verdicts(trial))]
    told: dict[str, Any] = {"rows": rows, "runs": len(judged), "broken": len(broken), "where": _places(broken)}
    told["broken_sets"] = list(dict.fromkeys(trial.data for trial in broken))
    return Section(told, figures)


def most_promised(verdicts: Mapping[str, Any]) -> int:
    """So many false alarms on as many normal test images are within the promise, 97.5 times in a hundred.

    Of n held-out scores the rate beyond the k-th smallest is drawn from Beta(n + 1 - k, k), so the count of false
    alarms is beta-binomial.

    Args:
        verdicts: those of a `summary.json`; `promised` is (n + 1 - k) / (n + 1).
    """
    ranks = verdicts["normals"] + 1
    beyond = verdicts["promised"] * ranks
    return int(stats.betabinom.ppf(_WITHIN, verdicts["false_alarms"]["total"], beyond, ranks - beyond))


def _places(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(f"{named(trial.model)} on {trial.data}" for trial in trials))


def _verdicts(trial: Trial) -> Mapping[str, Any]:
    found: Mapping[str, Any] = trial.run.summary.get("verdicts") or {}
    if "by_category" in found:  # which makes no promise of all
        return {}
    return found if "found" in found and found["found"]["total"] and found["false_alarms"]["total"] else {}


def _row(trials: Sequence[Trial]) -> dict[str, Any]:
    told = [_verdicts(trial) for trial in trials]
    hits, placed = (sum(one["in_place"][part] for one in told) for part in ("hits", "total"))
    return {
        "data": trials[0].data,
        "model": named(trials[0].model),
        "runs": len(trials),
        "promised": told[0]["promised"],
        "at_most": told[0]["at_most"],
        "held_out": told[0]["normals"],
        "found": fmean(one["found"]["share"] for one in told),
        "alarms": fmean(one["false_alarms"]["share"] for one in told),
        "in_place": hits / placed if placed >= _ENOUGH else None,
        "broken": sum(one["false_alarms"]["hits"] > most_promised(one) for one in told),
    }


def _scores(firsts: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    figure, axes = panels(len(data) * len(models), len(models), 0.8)
    for place, axis in enumerate(axes):
        name, model = data[place // len(models)], models[place % len(models)]
        trial = next((one for one in firsts if (one.data, one.model) == (name, model)), None)
        if place < len(models):
            axis.set_title(named(model))
        axis.set(xlim=(0, _LARGEST), yticks=[])
        axis.tick_params(labelbottom=place >= len(axes) - len(models))
        if place % len(models) == 0:
            axis.set_ylabel(name)
        if trial:
            _histogram(axis, trial)
        else:
            axis.text(0.5, 0.5, "no run", transform=axis.transAxes, ha="center", va="center", color=QUIET)
    figure.supxlabel("score / limit (larger ones are drawn at the right end)", fontsize=7.5)
    bars = [Line2D([], [], color=QUIET, linewidth=4, label="normal"), Line2D([], [], color=INK, label="defective")]
    legend(figure, [*bars, Line2D([], [], color=INK, linestyle="--", linewidth=0.8, label="limit")])
    return pdf(figure)


def _histogram(axes: Axes, trial: Trial) -> None:
    limit, told = _verdicts(trial)["limit"], _verdicts(trial)
    for label in (0, 1):
        scores = np.array([result.score for result in trial.run.results if result.label == label]) / limit
        weights = np.full(len(scores), 1 / max(1, len(scores)))
        shown = scores.clip(0, _LARGEST - 1e-6)
        if label:
            axes.hist(shown, _BINS, weights=weights, color=look(trial.model).colour, histtype="step")
        else:
            axes.hist(shown, _BINS, weights=weights, color="#c9c9c9")
    axes.set_ylim(0, 1.5 * axes.get_ylim()[1])
    axes.axvline(1, color=INK, linewidth=0.8, linestyle="--")
    words = f"finds {told['found']['share']:.0%}\nalarms {told['false_alarms']['share']:.0%}"
    axes.text(0.94, 0.97, words, transform=axes.transAxes, ha="right", va="top", fontsize=6.2)


def _roc(firsts: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    figure, axes = panels(len(data), 4, 1.7)
    for axis, name in zip(axes, data, strict=True):
        for trial in firsts:
            if trial.data == name:
                scores = np.array([result.score for result in trial.run.results])
                labels = np.array([bool(result.label) for result in trial.run.results])
                order = np.argsort(-scores, kind="stable")
                found, alarms = np.cumsum(labels[order]) / labels.sum(), np.cumsum(~labels[order]) / (~labels).sum()
                axis.plot([0, *alarms], [0, *found], color=look(trial.model).colour, linewidth=1)
        for trial in firsts:
            if trial.data == name:
                point = _verdicts(trial)["false_alarms"]["share"], _verdicts(trial)["found"]["share"]
                shape, colour = look(trial.model).shape, look(trial.model).colour
                axis.plot(*point, shape, color=colour, markeredgecolor="black", markersize=5, zorder=5, clip_on=False)
        axis.plot([0, 1], [0, 1], ":", color=QUIET, linewidth=0.7)
        axis.set(title=name, xlim=(0, 1), ylim=(0, 1))
        axis.locator_params(nbins=3)
    figure.supxlabel("false alarms: share of normal images", fontsize=7.5)
    axes[0].set_ylabel("share of defects found")
    model_legend(figure, models)
    return pdf(figure)


def _recall(judged: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    by_count = sorted(data, key=lambda name: len(_kinds(judged, name)))
    pairs = [by_count[place : place + 2] for place in range(0, len(by_count), 2)]
    heights = [0.35 + 0.2 * max(len(_kinds(judged, name)) for name in pair) for pair in pairs]
    figure, axes = panels(len(data), 2, 1.0, heights)
    for axis, name in zip(axes, by_count, strict=True):
        kinds = _kinds(judged, name)
        for place, model in enumerate(models):
            offset = 0.7 * ((place + 0.5) / len(models) - 0.5)
            some = [trial for trial in judged if (trial.data, trial.model) == (name, model)]
            for row, kind in enumerate(kinds):
                _mark(
                    axis, [share for trial in some if (share := _of_kind(trial, kind)) is not None], row + offset, model
                )
        for row in range(1, len(kinds)):
            axis.axhline(row - 0.5, color="#dddddd", linewidth=0.5)
        axis.set_yticks(range(len(kinds)), [kind.replace("_", " ")[:_KIND] for kind in kinds])
        axis.set(title=name, xlim=(-0.03, 1.03), ylim=(len(kinds) - 0.5, -0.5))
    figure.supxlabel(
        "share called defective at the limit (mark: mean over seeds; line: least to largest)", fontsize=7.5
    )
    model_legend(figure, models)
    return pdf(figure)


def _mark(axes: Axes, shares: Sequence[float], row: float, model: str) -> None:
    if shares:
        axes.plot([min(shares), max(shares)], [row, row], color=look(model).colour, linewidth=1.4)
        axes.plot(fmean(shares), row, look(model).shape, color=look(model).colour, markersize=4)


def _kinds(judged: Sequence[Trial], data: str) -> list[str]:
    found = (kind for trial in judged if trial.data == data for kind in _verdicts(trial)["found_by_kind"])
    return ["all", *kinds] if len(kinds := list(dict.fromkeys(found))) > 1 else kinds


def _of_kind(trial: Trial, kind: str) -> float | None:
    told = _verdicts(trial)
    rate = told["found"] if kind == "all" else told["found_by_kind"].get(kind)
    return float(rate["share"]) if rate and rate["total"] else None


def _alarms(judged: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    count = max(sum(trial.data == name for trial in judged) for name in data)
    figure, axes = panels(len(data), 4, 0.55 + 0.1 * count)
    for axis, name in zip(axes, data, strict=True):
        some = [trial for model in models for trial in judged if (trial.data, trial.model) == (name, model)]
        told = _verdicts(some[0])
        most = most_promised(told) / told["false_alarms"]["total"]
        axis.axvspan(0, most, color="#ececec", linewidth=0, zorder=0)
        axis.axvline(told["promised"], color=INK, linewidth=0.8, linestyle="--")
        for row, trial in enumerate(some):
            rate, style = _verdicts(trial)["false_alarms"], look(trial.model)
            axis.plot([rate["low"], rate["high"]], [row, row], color=style.colour, linewidth=1.2)
            axis.plot(rate["share"], row, style.shape, color=style.colour, markersize=4)
        largest = max(_verdicts(trial)["false_alarms"]["high"] for trial in some)
        axis.set(title=name, ylim=(len(some) - 0.5, -0.5), yticks=[], xlim=(-0.01, 1.08 * max(largest, most)))
        axis.locator_params(axis="x", nbins=4)
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    figure.supxlabel("false alarms on normal test images, a line for each run with its 95 % interval", fontsize=7.5)
    model_legend(figure, models, [Line2D([], [], color=INK, linestyle="--", linewidth=0.8, label="promised")])
    return pdf(figure)
