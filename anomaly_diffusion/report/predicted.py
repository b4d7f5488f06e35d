"""Photographs that `predict` has judged: a table of all, lowest p-value first, pictures, and what could not be judged.

Numbers are those of the files that `predict` has written; nothing is judged again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.report.galleries import Gallery, Slide, slide_of
from anomaly_diffusion.report.thumbnails import Thumbnail, photograph
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.runs.tables import Grid
from anomaly_diffusion.types import AnomalousRegion, ImageResult

__all__ = ["Line", "PicturedPrediction", "Predicted", "left_out", "predicted", "predicted_pictures"]

MOST_LINES = 4000
_EXTRAPOLATED = "too few normal photographs were held out for that rate of false alarms, so the limit is extrapolated."
_OF_FILE = {"overlay": "overlays", "regions": "masks"}  # pictures at the size of the files, and their folders


@dataclass(frozen=True)
class Line:
    """One photograph of one prediction.

    Args:
        source: number of the prediction.
        result: what was found in it.
    """

    source: int
    result: ImageResult

    @property
    def p_value(self) -> str:
        """In two digits."""
        return _number(self.result.verdict.p_value, ".2g") if self.result.verdict else "-"

    @property
    def limit(self) -> str:
        """In three digits."""
        return _number(self.result.verdict.limit, ".3g") if self.result.verdict else "-"

    @property
    def drift(self) -> list[str]:
        """In which ways it is unlike all normal photographs."""
        return [way for way in self.result.verdict.drift.split("; ") if way] if self.result.verdict else []

    @property
    def regions(self) -> list[str]:
        """Place and size of each, heaviest first."""
        said = self.result.verdict
        return [_region(one) for one in said.regions] if said else []


@dataclass(frozen=True)
class PicturedPrediction:
    """Pictures of one prediction.

    Args:
        run: its evaluation.
        galleries: one, or none without pictures.
    """

    run: RunRecord
    galleries: Sequence[Gallery]


@dataclass(frozen=True)
class Predicted:
    """All predictions of a page.

    Args:
        runs: their evaluations.
        grid: a row for each.
        lines: photographs of all, lowest p-value and then highest score first.
        total: how many there would be without a limit.
    """

    runs: Sequence[RunRecord]
    grid: Grid
    lines: Sequence[Line]
    total: int

    @property
    def drifted(self) -> bool:
        """Whether any photograph is unlike all normal ones."""
        return any(line.drift for line in self.lines)

    @property
    def unjudged(self) -> list[tuple[str, str, str]]:
        """Prediction, name and problem of each file that could not be judged."""
        return [(run.name, name, problem) for run in self.runs for name, problem in run.unjudged.items()]


def predicted(runs: Sequence[RunRecord], most: int = MOST_LINES) -> Predicted:
    """What some predictions have found.

    Args:
        runs: their evaluations.
        most: lines that may be shown; those of the highest p-values are left out.
    """
    lines = [Line(place, result) for place, run in enumerate(runs) for result in run.predictions]
    return Predicted(runs, _grid(runs), sorted(lines, key=lambda line: _order(line.result))[:most], len(lines))


def predicted_pictures(run: RunRecord, room: int) -> PicturedPrediction:
    """The photographs of a prediction that it has pictures of, lowest p-value first, in so many bytes of a page."""
    slides: list[Slide] = []
    total = used = 0
    for result in sorted(run.predictions, key=_order):
        total += _has_picture(run, result)
        if used > room or not (slide := _slide(run, result)):
            continue
        used += slide.bytes_in_page
        if used <= room:
            slides.append(slide)
    note = "those of the lowest p-values first"
    return PicturedPrediction(run, [Gallery("Photographs", note, slides, total)] if slides else [])


def _order(result: ImageResult) -> tuple[float, float]:
    """Lowest p-value first; of equal ones, and without any, the highest score."""
    p_value = result.verdict.p_value if result.verdict else math.nan
    return math.inf if math.isnan(p_value) else p_value, -result.score


def _has_picture(run: RunRecord, result: ImageResult) -> bool:
    return run.tile(result.path, "image").is_file() or any(path.is_file() for path in _files(run, result).values())


def _files(run: RunRecord, result: ImageResult) -> dict[str, Path]:
    """The files of the size of the photograph."""
    name = f"{files.safe_name(result.path)}.png"
    return {word: run.folder / folder / name for word, folder in _OF_FILE.items()}


def _slide(run: RunRecord, result: ImageResult) -> Slide | None:
    """Image, reconstruction and map where these are written, or else the map over the photograph; then its regions."""
    slide = slide_of(run, result, _note(result))
    pictures: dict[str, Thumbnail] = dict(slide.pictures) if slide else {}
    for word, path in _files(run, result).items():
        thumbnail = photograph(path.read_bytes()) if path.is_file() and not (slide and word == "overlay") else None
        if thumbnail is not None:
            pictures[word] = thumbnail
    return Slide(result, _note(result), pictures) if pictures else None


def _note(result: ImageResult) -> str:
    said = result.verdict
    numbers = [f"p {_number(said.p_value, '.2g')}"] if said else []
    return ", ".join([*numbers, f"score {result.score:.3g}", *([f"limit {said.limit:.3g}"] if said else [])])


def _region(region: AnomalousRegion) -> str:
    where = f"{region.width} x {region.height} at ({region.x}, {region.y})"
    return f"{where}, {region.area} pixels, up to {region.peak:.1f} sd, p {_number(region.p_value, '.2g')}"


def _grid(runs: Sequence[RunRecord]) -> Grid:
    heads = {
        "prediction": "run and evaluation",
        "photographs": "that were judged",
        "defective": "that are called so",
        "unlike any seen": "unlike all normal photographs in some way, so that limits may not hold",
        "not judged": "files that could not be judged",
        "limit": "score beyond which a photograph is called defective",
        "false alarms": "rate of normal photographs that may be called defective, as asked for",
        "at most": "what that rate is at most, in 95 of 100 choices of the held-out normal photographs",
    }
    notes = [f"{run.name}: {_EXTRAPOLATED}" for run in runs if run.limits.get("extrapolated")]
    return Grid(list(heads), [_row(run) for run in runs], title="Predictions", hints=heads, notes=notes)


def _row(run: RunRecord) -> list[str]:
    said = [result.verdict for result in run.predictions if result.verdict]
    limits = sorted({f"{verdict.limit:.3g}" for verdict in said}, key=float)
    rates = [_share(run.limits, name) for name in ("false_alarms_asked", "at_most")]
    counts = len(run.predictions), sum(one.defective for one in said), sum(bool(one.drift) for one in said)
    return [f"{run.group}, {run.name}", *map(str, counts), str(len(run.unjudged)), ", ".join(limits) or "-", *rates]


def _share(limits: Mapping[str, Any], name: str) -> str:
    """In percent; "-" where nobody has noted it."""
    value = limits.get(name)
    return f"{100 * value:.3g} %" if isinstance(value, int | float) else "-"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def left_out(found: Predicted, pictured: Sequence[PicturedPrediction]) -> Iterator[str]:
    """What there was no room for."""
    if len(found.lines) < found.total:
        yield f"{found.total - len(found.lines)} of {found.total} photographs of predictions, those of highest p-value."
    for one in pictured:
        missing = sum(gallery.total - len(gallery.slides) for gallery in one.galleries)
        if missing:
            yield f"{one.run.name}: pictures of {missing} photographs, for the size of this page."
