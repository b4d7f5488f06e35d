"""The pictures of a report: test images that slide into their reconstruction and into their map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from anomaly_diffusion.measures.failures import FAILURES
from anomaly_diffusion.report.image_table import verdict
from anomaly_diffusion.report.sheet_parts import Parts, sheet_parts
from anomaly_diffusion.report.thumbnails import Thumbnail, photograph
from anomaly_diffusion.runs.image_results import from_line
from anomaly_diffusion.runs.run_results import RunResults, Shown

__all__ = ["Gallery", "Slide", "galleries", "within"]

WIDE = 1.5  # width over height from which pictures are laid out in fewer columns


@dataclass(frozen=True)
class Slide:
    """One test image.

    Args:
        path: of the image; nothing if nobody knows any more.
        note: a number in words.
        label: "good" or "defective"; nothing if nobody knows.
        verdict: see `ImageLine`.
        pictures: the image, its reconstruction, its anomaly map.
    """

    path: str
    note: str
    label: str
    verdict: str
    pictures: Sequence[Thumbnail]

    @property
    def bytes_in_page(self) -> int:
        """What it adds to a page."""
        return sum(picture.bytes_in_page for picture in self.pictures) + 600


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
        shapes = [slide.pictures[0].width / slide.pictures[0].height for slide in self.slides]
        return bool(shapes) and float(np.median(shapes)) > WIDE


def galleries(run: RunResults) -> list[Gallery]:
    """The test images that a run shows, then the worst cases of each failure, as far as there are any."""
    shown = [slide for one in run.shown if (slide := _of_test(run, one))]
    found = [Gallery("Test images", "chosen by kind and place, not by result", shown, len(shown))] if shown else []
    for failure in FAILURES:
        slides = list(_of_failure(run, failure.name))
        if slides:
            name, _, note = failure.title.partition(": ")
            found.append(Gallery(name.capitalize(), note, slides, len(slides)))
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


def _of_test(run: RunResults, shown: Shown) -> Slide | None:
    (parts,) = _parts(shown.panel.read_bytes(), 1, titled=False) or [None]
    if parts is None:
        return None
    label = "" if shown.label is None else "defective" if shown.label else "good"
    known = shown.score is not None and shown.label is not None and run.threshold is not None
    judged = verdict(shown.score >= run.threshold, bool(shown.label)) if known else ""  # type: ignore[operator]
    note = f"score {shown.score:.2f}" if shown.score is not None else f"panels/{shown.panel.name}"
    note += f", threshold {run.threshold:.2f}" if judged else ""
    return Slide(shown.path, note, label, judged, _thumbnails(parts))


def _of_failure(run: RunResults, name: str) -> Iterator[Slide]:
    """The worst cases of one failure; their numbers are those of `failures.csv`."""
    worst = run.analysis.get("worst", {}).get(name, [])
    sheet = run.folder / "failures" / f"{name}.png"
    failure = next(failure for failure in FAILURES if failure.name == name)
    if not worst or not sheet.is_file():
        return
    for case, parts in zip(worst, _parts(sheet.read_bytes(), len(worst), titled=True), strict=False):
        if parts is not None:
            row = run.failures.get(case["path"], {})
            label = {"0": "good", "1": "defective"}.get(row.get("label", ""), "")
            note = failure.verdict(from_line(row)) if row else f"severity {case['severity']:.3g}"
            yield Slide(case["path"], note, label, "", _thumbnails(parts))


def _parts(content: bytes, count: int, titled: bool) -> list[Parts | None]:
    sheet = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    return [] if sheet is None else sheet_parts(np.asarray(sheet), count, titled)


def _thumbnails(parts: Parts) -> list[Thumbnail]:
    return [photograph(picture) for picture in parts]
