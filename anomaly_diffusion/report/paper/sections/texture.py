"""What happens to texture: what reconstructions of normal images keep, as bars and as spectra."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from anomaly_diffusion.report.paper.drawing import INK, look, model_legend, named, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial

__all__ = ["texture"]

_BANDS = {
    "retained_coarse": "coarse\n(> 16 px)",
    "retained_middle": "middle\n(8-16 px)",
    "retained_fine": "fine\n(< 8 px)",
}


def texture(study: Study) -> Section | None:
    """Power kept in three bands, spectra, and likeness; None where nothing reconstructs photographs."""
    drawn = [trial for trial in study.trials if trial.plain and trial.run.failures.get("photographs")]
    if not drawn:
        return None
    data = [name for name in study.data if any(trial.data == name for trial in drawn)]
    models = [model for model in study.models if any(trial.model == model for trial in drawn)]
    figures = {"bands": Drawn(_bars(drawn, data, models), drawn)}
    if any(_spectra(trial) for trial in drawn):
        figures["spectra"] = Drawn(_lines(drawn, data, models), drawn)
    return Section({"rows": [_row(drawn, name, model) for name in data for model in models]}, figures)


def _normal(trial: Trial, measure: str) -> float | None:
    found: Mapping[str, Any] = trial.run.failures.get("normal", {}).get(measure) or {}
    return found.get("mean")


def _known(drawn: Sequence[Trial], data: str, model: str, measure: str) -> list[float]:
    some = (_normal(trial, measure) for trial in drawn if (trial.data, trial.model) == (data, model))
    return [value for value in some if value is not None]


def _row(drawn: Sequence[Trial], data: str, model: str) -> dict[str, Any]:
    some = [trial for trial in drawn if (trial.data, trial.model) == (data, model)]
    measures = ("psnr", "ssim", "hallucination", "cooccurrence", *_BANDS)
    means = {name: fmean(values) if (values := _known(drawn, data, model, name)) else None for name in measures}
    deepest = [copying[-1] for trial in some if (copying := trial.run.summary.get("copying"))]
    copied, painted = (sum(one[part] for one in deepest) for part in ("copied", "of"))
    return {"data": data, "model": named(model), **means, "copied": copied, "painted": painted}


def _bars(drawn: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    figure, axes = panels(len(data), 4, 1.25)
    for axis, name in zip(axes, data, strict=True):
        for place, model in enumerate(models):
            for band, measure in enumerate(_BANDS):
                values = _known(drawn, name, model, measure)
                if values:
                    left, wide = band + 0.8 * (place / len(models) - 0.5), 0.8 / len(models)
                    axis.bar(left, fmean(values), wide, align="edge", color=look(model).colour, alpha=0.85)
                    axis.plot([left + wide / 2] * 2, [min(values), max(values)], color=INK, linewidth=0.8)
        axis.axhline(1, color=INK, linewidth=0.7, linestyle="--")
        axis.set_xticks(range(len(_BANDS)), list(_BANDS.values()), fontsize=6)
        axis.set(title=name)
    axes[0].set_ylabel("share of power kept")
    model_legend(figure, models)
    return pdf(figure)


def _spectra(trial: Trial) -> Mapping[str, Any]:
    found: Mapping[str, Any] = trial.run.failures.get("spectra") or {}
    return found


def _lines(drawn: Sequence[Trial], data: Sequence[str], models: Sequence[str]) -> bytes:
    figure, axes = panels(len(data), 4, 1.3)
    for axis, name in zip(axes, data, strict=True):
        for model in models:
            _ratio(axis, [_spectra(t) for t in drawn if (t.data, t.model) == (name, model) and _spectra(t)], model)
        axis.axhline(1, color=INK, linewidth=0.7, linestyle="--")
        axis.set(title=name, xscale="log", yscale="log", ylim=(0.01, 4))
        axis.set_xticks([0.01, 0.1, 0.5], [".01", ".1", ".5"])
        axis.set_yticks([0.01, 0.1, 1], [".01", ".1", "1"])
        axis.minorticks_off()
    axes[0].set_ylabel("power / that of the images")
    figure.supxlabel("cycles per pixel", fontsize=7.5)
    model_legend(figure, models)
    return pdf(figure)


def _ratio(axes: Axes, found: Sequence[Mapping[str, Any]], model: str) -> None:
    """Power of reconstructions over that of images, of the deepest reconstruction; band: least to largest of seeds."""
    curves = []
    for one in found:
        (*_, deepest), image = (
            (np.array(power) for name, power in one["power"].items() if name != "image"),
            one["power"]["image"],
        )
        curves.append(deepest / np.maximum(np.array(image), 1e-12))
    if curves:
        places, values = found[0]["cycles_per_pixel"], np.stack([c for c in curves if len(c) == len(curves[0])])
        axes.fill_between(places, values.min(0), values.max(0), color=look(model).colour, alpha=0.2, linewidth=0)
        axes.plot(places, values.mean(0), color=look(model).colour)
