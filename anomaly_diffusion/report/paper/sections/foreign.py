"""A prior that has seen everything but the target, beside one of the target alone: what it keeps, adds and copies."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from anomaly_diffusion.report.paper.drawing import legend, log_ticks, panels, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section, Source
from anomaly_diffusion.report.paper.study import Study

__all__ = ["foreign"]

_SHOWN = {
    "psnr": "PSNR of normal images, dB",
    "added": "power added",
    "copied": "painted defect kept",
    "pixel_ap": "pixel AP",
}
_INKS = {
    "own": "#0072B2",
    "short": "#56B4E9",
    "foreign": "#D55E00",
    "lora_4": "#E69F00",
    "lora_16": "#CC79A7",
    "full": "#009E73",
}  # Okabe & Ito (2008)
_WORDS = {
    "own": "own",
    "short": "own, few steps",
    "foreign": "foreign",
    "lora_4": "rank 4",
    "lora_16": "rank 16",
    "full": "all weights",
}
_DASHES = {"one-shot": "-", "walk": "--"}
_TOLD = 1.0  # the depth of the table

Rows = Sequence[Mapping[str, Any]]


def foreign(study: Study) -> Section | None:
    """Four figures over depth for each target, and a table at depth 1; None without `foreign_prior/figures.json`."""
    rows = study.foreign
    if not rows:
        return None
    targets = list(dict.fromkeys(row["target"] for row in rows))
    seeds = sorted({str(row["seed"]) for row in rows})
    table = [_line(some) for some in _grouped([row for row in rows if row["depth"] == _TOLD])]
    told = {"rows": table, "targets": targets, "seeds": seeds, "gaps": [_gap(table, target) for target in targets]}
    networks = len({(row["seed"], row["target"], row["arm"]) for row in rows})
    source = Source(networks, seeds, "benchmarks/foreign_prior.py")
    return Section(told, {"foreign": Drawn(_picture(rows, targets), (), source)})


def _grouped(rows: Rows) -> list[Rows]:
    """Rows that differ in their seed and depth only."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["target"], row["strategy"], row["arm"]), []).append(row)
    return list(found.values())


def _line(some: Rows) -> dict[str, Any]:
    first = some[0]
    names = ("psnr", "ssim", "fine", "added", "copied", "pixel_ap", "aupro")
    figures = {name: {"mean": fmean(v), "least": min(v), "most": max(v)} for name in names if (v := _of(some, name))}
    told = {"target": first["target"], "strategy": first["strategy"], "arm": first["arm"], "seeds": len(some)}
    return told | {"network": _WORDS.get(first["arm"], first["arm"])} | figures


def _of(rows: Rows, name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def _gap(table: Rows, target: str) -> dict[str, Any]:
    """What the foreign prior lacks in one evaluation, and whether each of several seeds lacks it."""
    by_arm = {row["arm"]: row for row in table if (row["target"], row["strategy"]) == (target, "one-shot")}
    own, other = by_arm.get("own"), by_arm.get("foreign")
    if not own or not other:
        return {"target": target, "psnr": None}
    surely = min(own["seeds"], other["seeds"]) > 1 and other["psnr"]["most"] < own["psnr"]["least"]
    tuned = by_arm.get("full")
    lacked = own["psnr"]["mean"] - other["psnr"]["mean"]
    closed = (tuned["psnr"]["mean"] - other["psnr"]["mean"]) / lacked if tuned and lacked > 0 else None
    copied = {arm: by_arm[arm]["copied"]["mean"] for arm in ("own", "foreign")}
    return {"target": target, "psnr": lacked, "surely": surely, "closed": closed, **copied}


def _picture(rows: Rows, targets: Sequence[str]) -> bytes:
    figure, axes = panels(len(targets) * len(_SHOWN), len(_SHOWN), 1.25)
    for place, axis in enumerate(axes):
        target, name = targets[place // len(_SHOWN)], list(_SHOWN)[place % len(_SHOWN)]
        _draw(axis, [row for row in rows if row["target"] == target], name)
        if place < len(_SHOWN):
            axis.set_title(_SHOWN[name])
        if place % len(_SHOWN) == 0:
            axis.set_ylabel(target)
    figure.supxlabel("depth (line: mean of seeds; dashes: walk from noise)", fontsize=7.5)
    arms = dict.fromkeys(row["arm"] for row in rows)
    legend(figure, [Line2D([], [], color=_INKS.get(arm, "k"), label=_WORDS.get(arm, arm)) for arm in arms])
    return pdf(figure)


def _draw(axes: Axes, rows: Rows, name: str) -> None:
    for some in _grouped(rows):
        depths = sorted({row["depth"] for row in some})
        values = [fmean(_of([row for row in some if row["depth"] == depth], name)) for depth in depths]
        ink, dashes = _INKS.get(some[0]["arm"], "k"), _DASHES.get(some[0]["strategy"], ":")
        axes.plot(depths, values, dashes, color=ink, linewidth=1)
    axes.set(xscale="log", yscale="log" if name == "added" else "linear")
    log_ticks(axes.xaxis)
