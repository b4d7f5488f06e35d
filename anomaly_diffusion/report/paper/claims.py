"""What the figures say, in sentences that they decide: none is written that another set of runs would contradict."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from anomaly_diffusion.names import FIGURES
from anomaly_diffusion.report.paper.section import Section

__all__ = ["claims", "leading"]


def claims(sections: Mapping[str, Section]) -> list[str]:
    """The abstract: what is better, what is not, what can be acted on, what is promised in vain, what is a shortcut.

    Args:
        sections: those that could be made, by their names.
    """
    said = []
    if "main_result" in sections:
        effects = sections["main_result"].data["effects"]
        first = leading(effects["pixel_ap"])
        said += [_against(effects[name], first, FIGURES[name]) for name in ("pixel_ap", "aupro")]
        said += [
            _against(effects["pixel_ap"], other, FIGURES["pixel_ap"]) for other in _others(effects["pixel_ap"], first)
        ]
        said += [_beaten(sections["main_result"].data["beaten"]["pixel_ap"])]
        if "acting" in sections:
            said.append(_found(sections["acting"].data["rows"], first))
        if "detectable" in sections:
            said.append(_detectable(sections["detectable"].data["rows"], first))
    if "acting" in sections:
        said.append(_kept(sections["acting"].data))
    said += [_shortcuts(sections["sets"].data["rows"])] if "sets" in sections else []
    return [sentence for sentence in said if sentence]


def leading(effects: Sequence[Mapping[str, Any]]) -> str:
    """The model whose differences from the best classical method have the largest mean."""
    models = dict.fromkeys(effect["model"] for effect in effects)
    best: str = max(models, key=lambda model: fmean(effect["mean"] for effect in effects if effect["model"] == model))
    return best


def _others(effects: Sequence[Mapping[str, Any]], first: str) -> list[str]:
    return [model for model in dict.fromkeys(effect["model"] for effect in effects) if model != first]


def _against(effects: Sequence[Mapping[str, Any]], model: str, figure: str) -> str:
    """On how many sets it is ahead, and where intervals leave zero out; where it is ahead nowhere, that it is not."""
    some = [effect for effect in effects if effect["model"] == model]
    if not some:
        return ""
    ahead = [effect for effect in some if effect["mean"] > 0]
    surely = [effect["data"] for effect in some if effect["better"]]
    not_ahead = [effect["data"] for effect in some if effect["worse"]]
    each = "; ".join(f"{effect['data']} {effect['words']}" for effect in some)
    verb = "has a higher" if ahead else "does not have a higher"
    where = f"on {len(ahead)} of {len(some)} sets" if ahead else f"on any of {len(some)} sets"
    sure = _listed("The interval lies above zero on", surely) + _listed("The interval lies below zero on", not_ahead)
    return f"{_capital(model)} {verb} {figure} than the better of PaDiM and PatchCore {where} ({each}).{sure}"


def _found(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    some = [row for row in rows if row["model"] == model]
    if not some:
        return ""
    found, placed = [row["found"] for row in some], [row["in_place"] for row in some if row["in_place"] is not None]
    promised = [row["promised"] for row in some]
    text = (
        f"At limits that promise {_range(promised, 1)} false alarms, {model} calls {_range(found)} of defective images "
        f"defective, depending on the set"
    )
    return text + (f"; of these its map peaks at the defect in {_range(placed)}." if placed else ".")


def _beaten(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where a control, which has learnt nothing, has the higher pixel AP."""
    if not rows:
        return "On no set does a control that has learnt nothing have a higher pixel AP than a model."
    each = "; ".join(
        f"{row['data']}: {row['control']} {row['value']:.3f}, above {', '.join(row['models'])}" for row in rows
    )
    count = f"{len(rows)} set{'s' * (len(rows) != 1)}"
    return f"A control that has learnt nothing has a higher pixel AP than models on {count} ({each})."


def _kept(told: Mapping[str, Any]) -> str:
    if not told["broken"]:
        return f"False alarms are within what was promised (95 %) in each of {told['runs']} runs."
    return (
        f"A promise of false alarms holds for parts that are photographed like the held-out ones: in {told['broken']} "
        f"of {told['runs']} runs there are more of them than were promised (95 %): {', '.join(told['where'])}."
    )


def _detectable(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    some = [row for row in rows if row["model"] == model]
    if not some:
        return ""
    each = ", ".join(f"{row['reached']} of {row['families']} on {row['data']}" for row in some)
    return f"{_capital(model)} finds nine of ten painted defects from some width on for these families: {each}."


def _shortcuts(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where a statistic of the whole image, which has learnt nothing, is as good as the best model."""
    beaten = [row for row in rows if (row["control_auroc"] or 0) >= row["best_image_auroc"]]
    if not beaten:
        return "On no set does a statistic of the whole image reach the image AUROC of the best model."
    each = ", ".join(f"{row['data']}: {row['control']} {row['control_auroc']:.3f}" for row in beaten)
    return (
        f"Image AUROC does not measure detection on {len(beaten)} of {len(rows)} sets, where a statistic of the whole "
        f"image that has learnt nothing reaches the best model ({each})."
    )


def _listed(text: str, names: Sequence[str]) -> str:
    return f" {text} {', '.join(names)}." if names else ""


def _range(values: Sequence[float], digits: int = 0) -> str:
    low, high = f"{100 * min(values):.{digits}f}", f"{100 * max(values):.{digits}f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
