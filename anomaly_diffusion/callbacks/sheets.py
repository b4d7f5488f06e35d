"""Contact sheets of judged images, in files: what is on them, in which words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.image_files import write_tiles
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction

__all__ = ["MOST", "Shown", "captions", "highest", "write_sheet"]

MOST = 100  # images on the sheet of a prediction


@dataclass(frozen=True)
class Shown:
    """An image of a sheet.

    Args:
        rows: its pictures.
        result: what was found in it.
        unjudged: what its verdict is made of, where limits are known only later.
    """

    rows: Sequence[ResultPictures]
    result: ImageResult
    unjudged: tuple[Prediction, ImageBatch] | None = None


def write_sheet(folder: Path, split: str, chosen: Sequence[Shown], title: str, limit: float) -> None:
    """Write `panels/<split>.png` and, but for a validation, each of its images by itself, its tiles, and a list of all.

    Args:
        folder: of the run.
        split: "val", "test" or "predict".
        chosen: what is shown; without any, nothing is written.
        title: of the sheet.
        limit: where the colour scale ends, in standard deviations of normal images, > 0.
    """
    if not chosen:
        return
    from anomaly_diffusion.figures.contact_sheet import Panel, contact_sheet

    panels = [Panel(shown.rows, *captions(shown.result)) for shown in chosen]
    files.write(folder / "panels" / f"{split}.png", contact_sheet(panels, title, limit))
    if split == "val":
        return
    names = [f"{split}-{number:03d}.png" for number in range(1, 1 + len(panels))]
    for name, panel in zip(names, panels, strict=True):
        files.write(folder / "panels" / name, contact_sheet([panel], limit=limit, tile=256))
    for shown in chosen:
        write_tiles(folder, shown.rows[0], limit)
    files.write_json(folder / "panels" / f"{split}.json", {"images": _contents(names, chosen)})


def highest(kept: Sequence[Shown], count: int) -> tuple[list[Shown], str]:
    """Which unknown images are shown, all that are called defective and at least `count`, and the title of their sheet.

    Args:
        kept: those of highest score, the highest first.
        count: >= 1.
    """
    flagged = sum(shown.result.word == "defective" for shown in kept)
    chosen = list(kept[: max(flagged, count)])
    called = f", {flagged} called defective" if any(shown.result.verdict for shown in kept) else ""
    return chosen, f"predict: the {len(chosen)} images of highest score{called}"


def captions(result: ImageResult) -> tuple[str, str, str]:
    """The outcome, or the verdict where nobody knows the truth; truth and numbers; drift: empty where there is none."""
    return result.outcome or result.word, _note(result), _drift(result)


def _note(result: ImageResult) -> str:
    """Truth and numbers in a line."""
    said = result.verdict
    numbers = [f"score {result.score:.3g}"]
    if said is not None:
        numbers = [f"score {result.score:.3g}, limit {said.limit:.3g}", f"p {said.p_value:.2g}"]
    return " · ".join([result.kind, *numbers] if result.kind else numbers)


def _drift(result: ImageResult) -> str:
    """In which way it is unlike normal images; nothing where it is like them, or nobody knows."""
    return f"drift: {result.verdict.drift}" if result.verdict is not None and result.verdict.drift else ""


def _contents(names: Iterable[str], chosen: Iterable[Shown]) -> list[dict[str, Any]]:
    """What the single panels show."""
    return [
        {
            "panel": name,
            "path": one.path,
            "score": one.score,
            "label": one.label,
            "verdict": one.word,
            "outcome": one.outcome,
        }
        for name, one in zip(names, (shown.result for shown in chosen), strict=True)
    ]
