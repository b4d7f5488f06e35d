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
_LEAST = 1e-12  # power that is none


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
    told = {"data": data, "model": named(model), **means, "copied": copied, "painted": painted}
    depths = [trial.run.failures.get("depth") for trial in some]
    return told | {"depth": next((depth for depth in depths if depth is not None), None), "shallow": _shallow(some)}


def _shallow(some: Sequence[Trial]) -> dict[str, float] | None:
    """Depth, PSNR and fine power kept of the shallowest reconstruction; None where there is only one depth."""
    several = [trial for trial in some if len(trial.run.depths) > 1 and len(_retained(trial)) > 1]
    if not several:
        return None
    first = [trial.run.depths[0] for trial in several]
    kept = [next(iter(_retained(trial).values()))["fine"] for trial in several]
    return {"depth": first[0]["depth"], "psnr": fmean(row["psnr"] for row in first), "fine": fmean(kept)}


def _retained(trial: Trial) -> dict[str, Mapping[str, float]]:
    """Share of power kept in each band by the reconstruction of each depth, shallowest first."""
    return {name: bands for name, bands in (_spectra(trial).get("retained") or {}).items() if name.startswith("depth")}


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
    """The deepest reconstruction of each model, and shallower ones as dashes."""
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
    """Power of reconstructions over that of images; band: least to largest of seeds, of the deepest."""
    depths = [name for name in found[0]["power"] if name not in ("image", "reference")] if found else []
    for name in depths:
        curves = [
            np.array(one["power"][name]) / np.maximum(one["power"]["image"], _LEAST)
            for one in found
            if name in one["power"]
        ]
        places, values = found[0]["cycles_per_pixel"], np.stack([c for c in curves if len(c) == len(curves[0])])
        deepest, ink = name == depths[-1], look(model).colour
        if deepest:
            axes.fill_between(places, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
        axes.plot(places, values.mean(0), "-" if deepest else "--", color=ink, linewidth=1.2 if deepest else 0.8)
