"""The pictures of a report: test images that slide into their reconstruction and into their map."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from anomaly_diffusion import files
from anomaly_diffusion.figures.canvas import MARKS
from anomaly_diffusion.measures.failures import FAILURES, Failure
from anomaly_diffusion.report.thumbnails import Thumbnail, photograph
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.types import ImageResult

__all__ = ["Gallery", "Slide", "galleries", "slide_of", "within"]

# what a slide goes through, in its order: of photographs, or of features
TILES = ("image", "reconstruction", "anomaly_map"), ("image", "normal_features", "anomaly_map")
WIDE = 1.5  # width over height from which pictures are laid out in fewer columns


@dataclass(frozen=True)
class Slide:
    """One image.

    Args:
        result: what was found in it.
        note: a number in words.
        pictures: those of one of `TILES`, by their names; of a prediction also "overlay" and "regions".
    """

    result: ImageResult
    note: str
    pictures: Mapping[str, Thumbnail]

    @property
    def verdict(self) -> str:
        """`ImageResult.outcome` with its mark; the bare verdict where nobody knows the truth."""
        outcome = self.result.outcome
        return f"{MARKS[outcome]} {outcome}" if outcome else self.result.word if self.result.label is None else ""

    @property
    def names(self) -> list[str]:
        """Of its pictures, as people call them."""
        return [name.replace("_", " ") for name in self.pictures]

    @property
    def bytes_in_page(self) -> int:
        """What it adds to a page."""
        return sum(picture.bytes_in_page for picture in self.pictures.values()) + 600


@dataclass(frozen=True)
class Gallery:
    """Slides of one kind.

    Args:
        title: what they have in common.
        note: how they were chosen.
        slides: in their order.
        total: how many there would be without a limit.
    """

    title: str
    note: str
    slides: Sequence[Slide]
    total: int

    @property
    def wide(self) -> bool:
        """Whether most pictures are so much wider than high that fewer fit beside one another."""
        first = [next(iter(slide.pictures.values())) for slide in self.slides]
        shapes = [picture.width / picture.height for picture in first]
        return bool(shapes) and median(shapes) > WIDE


def galleries(run: RunRecord) -> list[Gallery]:
    """The test images that a run shows, then the worst cases of each failure, as far as there are any."""
    shown = [slide for one in run.shown if (slide := _of_test(run, one))]
    found = [Gallery("Test images", "chosen by kind and place, not by result", shown, len(shown))] if shown else []
    for failure in FAILURES:
        slides = [slide for slide in _of_failure(run, failure) if slide]
        if slides:
            name, _, note = failure.title.partition(": ")
            found.append(Gallery(name.capitalize(), note + _counted(run, failure), slides, len(slides)))
    return found


def within(limit: int, found: Sequence[Gallery]) -> list[Gallery]:
    """The same without what exceeds a limit in bytes: test images stay first, then the worst case of each failure."""
    turns = [(place > 0, turn, place) for place, gallery in enumerate(found) for turn in range(len(gallery.slides))]
    kept, used = [0] * len(found), 0
    for _, turn, place in sorted(turns):
        used += found[place].slides[turn].bytes_in_page
        if used > limit:
            break
        kept[place] = turn + 1
    return [replace(gallery, slides=gallery.slides[:count]) for gallery, count in zip(found, kept, strict=True)]


def _of_test(run: RunRecord, result: ImageResult) -> Slide | None:
    said = result.verdict
    note = f"score {result.score:.2f}" + (f", limit {said.limit:.2f}" if said else "")
    return slide_of(run, result, note)


def _of_failure(run: RunRecord, failure: Failure) -> Iterator[Slide | None]:
    """The worst cases of one failure; their numbers are those of `failures.csv`."""
    path, tested = run.folder / "failures.json", {result.path: result for result in run.results}
    for case in files.nested(run.failures, path, "worst").get(failure.name) or []:
        result = run.measured.get(case["path"])
        note = f"severity {case['severity']:.3g}" if result is None else failure.verdict(result)
        unknown = ImageResult(case["path"], None, "", math.nan, math.nan)
        yield slide_of(run, tested.get(case["path"], result or unknown), note)


def _counted(run: RunRecord, failure: Failure) -> str:
    """How many images have failed, where the run says so."""
    failed = files.nested(run.failures, run.folder / "failures.json", "failed", failure.name)
    return f": {failed['count']} of {failed['of']}" if {"count", "of"} <= failed.keys() else ""


def slide_of(run: RunRecord, result: ImageResult, note: str) -> Slide | None:
    """The slide of an image; None without all its tiles."""
    for names in TILES:
        files_of = {name: run.tile(result.path, name) for name in names}
        if all(tile.is_file() for tile in files_of.values()):
            pictures = {name: photograph(tile.read_bytes()) for name, tile in files_of.items()}
            whole = {name: picture for name, picture in pictures.items() if picture is not None}
            return Slide(result, note, whole) if len(whole) == len(names) else None
    return None
