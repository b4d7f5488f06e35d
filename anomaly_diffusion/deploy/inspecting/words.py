"""What the page says: marks, captions and sentences, as HTML where they are coloured."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from anomaly_diffusion.deploy.inspecting.opened_run import Shown
from anomaly_diffusion.deploy.inspecting.tested_run import AtRate
from anomaly_diffusion.figures.canvas import MARKS, RIGHT, WRONG
from anomaly_diffusion.types import ImageResult

__all__ = ["CSS", "caption", "colour", "dropped", "limits", "marked", "refused", "sentence", "shown", "two"]

_RIGHT_WORDS = ("found", "passed", "normal")
CSS = f"""
.told b.right {{ color: {RIGHT}; }} .told b.wrong {{ color: {WRONG}; }}
.dark .told b.right {{ color: #56b4e9; }} .dark .told b.wrong {{ color: #e69f00; }}
.told p, .told li {{ overflow-wrap: anywhere; margin: .25em 0; }}
.told ul {{ padding-left: 1.2em; list-style: disc; }}
.grid-wrap {{
  min-height: 0 !important; max-height: 34rem !important; height: auto !important; padding-top: 1.8rem;
}}
.grid-wrap .grid-container {{ grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)) !important; }}
.grid-wrap .thumbnail-lg {{ height: auto; aspect-ratio: auto; display: flex; flex-direction: column; }}
.grid-wrap .thumbnail-lg img {{ height: 7rem; object-fit: contain; }}
.grid-wrap .caption-label {{
  position: static; max-width: none; width: 100%; padding: .3em; background: none; text-align: left;
  white-space: normal; overflow-wrap: anywhere; font-size: .8rem; line-height: 1.25;
  color: var(--body-text-color) !important; opacity: 1 !important;
}}
.image-frame img {{ width: 100%; max-height: 75vh; object-fit: contain; }}
"""


def colour(word: str) -> str:
    """The word with its mark: blue where it is right, vermilion where it is wrong or half."""
    kind = "right" if word in _RIGHT_WORDS else "wrong"
    return f'<b class="{kind}">{MARKS.get(word, "")} {escape(word)}</b>'


def caption(result: ImageResult, other: ImageResult | None = None) -> str:
    """Mark, outcome and score of a test photograph, and the outcome of another run."""
    word = result.outcome or result.word
    told = f"{MARKS.get(word, '')} {word}"
    if other is not None:
        return f"{told} | {MARKS.get(other.outcome, '')} {other.outcome}: {result.path}"
    return f"{told} {result.score:.3g}: {result.path}"


def limits(judged: AtRate) -> str:
    """What a rate amounts to."""
    return _list(map(escape, judged.sentences()))


def sentence(result: ImageResult, judged: AtRate) -> str:
    """What was said of a photograph when it was tested, at this limit."""
    word = result.outcome or result.word
    numbers = f"score {result.score:.3g}, limit {judged.limit.value:.3g}, p {judged.p_value(result):.2g}"
    return f"{colour(word)} {escape(result.path)} ({escape(result.kind or 'unknown')}): {numbers}"


def two(names: Sequence[str], said: Sequence[str]) -> str:
    """Sentences of runs, under each other."""
    return _list(f"{escape(name)}: {one}" for name, one in zip(names, said, strict=True))


def shown(one: Shown, limit: float) -> str:
    """What the inspector says of a photograph, at a limit.

    Args:
        one: the photograph.
        limit: of scores.
    """
    found = one.inspection
    word = "defective" if found.score > limit else "normal"
    height, width = found.size
    lines = [
        f"{colour(word)} {escape(one.name)}, {width} x {height} pixels: score {found.score:.3g}, limit {limit:.3g}, "
        f"p {found.p_value:.2g}"
    ]
    if found.drift:
        lines.append(escape(f"{found.drift}; limits may not hold"))
    lines += [
        f"region at ({region.x}, {region.y}), {region.width} x {region.height} pixels: peak {region.peak:.3g}, "
        f"p {region.p_value:.2g}"
        for region in found.regions
    ]
    return _list(lines)


def refused(reasons: Sequence[str]) -> str:
    """Which files could not be used, and why."""
    return _list(map(escape, reasons)) if reasons else ""


def dropped(one: Shown, limit: float) -> str:
    """Mark, verdict and score of a photograph that was dropped."""
    word = "defective" if one.inspection.score > limit else "normal"
    return f"{MARKS[word]} {word} {one.inspection.score:.3g}: {one.name}"


def marked(path: Path, run: Path, new: bool) -> str:
    """What became of a false alarm, and how it is used."""
    done = "Marked" if new else "It was marked before"
    command = f"anomaly-diffusion train --config {run / 'config.yaml'} --data.feedback {path}"
    return _list([f"{done}: {escape(str(path))}", f"Learn from it: <code>{escape(command)}</code>"])


def _list(lines: Iterable[str]) -> str:
    return '<div class="told"><ul>' + "".join(f"<li>{line}</li>" for line in lines) + "</ul></div>"
