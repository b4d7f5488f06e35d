"""The page: Gradio's boxes around an opened run; the one file that knows Gradio."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported: nothing leaves this machine
os.environ["HF_HUB_OFFLINE"] = "1"

import gradio as gr

from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.deploy.inspecting import words
from anomaly_diffusion.deploy.inspecting.opened_run import OpenedRun, Shown, small
from anomaly_diffusion.deploy.inspecting.tested_run import EVERY, OUTCOMES, AtRate, differing, shared
from anomaly_diffusion.types import ImageResult

__all__ = ["made", "opened"]

_PAGE = 24  # test photographs that are shown together
_FONTS = ["system-ui", "sans-serif"]
_DIFFER = "where they differ"
_LEGEND = (
    "Boxes: regions that stand out. Cross: where the map is highest. Contour: the defect as it was drawn. "
    "The brightest colour is 8 standard deviations of normal photographs, and more."
)
Pairs = list[tuple[ImageResult, ImageResult]]


def made(runs: Sequence[OpenedRun]) -> Any:
    """The page of some runs, not yet opened to anybody.

    Args:
        runs: at least one; the first is shown first, and any two can be compared.
    """
    with gr.Blocks(analytics_enabled=False, title="Anomaly Diffusion") as page:
        gr.Markdown("# Anomaly Diffusion")
        names = [run.name for run in runs]
        chosen = gr.Dropdown(
            list(zip(names, range(len(runs)), strict=True)), value=0, label="run", visible=len(runs) > 1
        )
        rate = gr.Slider(0.5, 50, _percent(runs[0]), step=0.5, label="false alarms, % of normal photographs")
        told = gr.HTML()
        _Tabs(runs, chosen, rate)
        _follow(lambda run, percent: words.limits(_at(runs[run], percent)), [chosen, rate], told)
    return page


def opened(page: Any, host: str, port: int) -> None:
    """Let browsers in, and wait for a signal.

    Args:
        page: as `made`.
        host: of this machine.
        port: that nobody listens at.
    """
    theme = gr.themes.Base(primary_hue="blue", font=_FONTS, font_mono=["monospace"])
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        theme=theme,
        css=words.CSS,
        max_file_size="256mb",
        prevent_thread_lock=True,
    )
    page.block_thread()


class _Tabs:
    """What can be looked at: dropped photographs, the test set, two runs side by side."""

    def __init__(self, runs: Sequence[OpenedRun], chosen: Any, rate: Any) -> None:
        self.runs, self.chosen, self.rate = runs, chosen, rate
        with gr.Tab("Photographs"):
            self._photographs()
        with gr.Tab("Test set"):
            self._test_set()
        if len(runs) > 1:
            with gr.Tab("Compare"):
                self._compare()

    def _photographs(self) -> None:
        dropped = gr.File(file_count="multiple", file_types=["image"], label="drop photographs here", height=140)
        seen, looked = gr.State([]), gr.State(None)
        gallery = _gallery("photographs, largest score first", "dropped")
        refused = gr.HTML()
        view = _View("photograph")
        given = [dropped, self.chosen, self.rate]
        gr.on([dropped.change, self.chosen.change], self._judge, given, [seen, gallery, refused])
        self.rate.change(self._captions, [seen, self.chosen, self.rate], gallery, trigger_mode="always_last")

        def select(shown: list[Shown], run: int, percent: float, event: gr.SelectData) -> Any:
            one = shown[event.index]
            return (run, one), *view.of(one, words.shown(one, _at(self.runs[run], percent).limit.value))

        gallery.select(select, [seen, self.chosen, self.rate], [looked, *view.parts])
        view.button.click(self._mark, [looked, self.rate], view.answer)

    def _judge(self, paths: list[str] | None, run: int, percent: float) -> Any:
        shown, refused = [], []
        for path in paths or []:
            try:
                shown.append(self.runs[run].look(Path(path)))
            except (BadImages, ValueError) as error:
                reason = next(iter(error.problems.values())) if isinstance(error, BadImages) else str(error)
                refused.append(f"{Path(path).name} {reason}")
        shown.sort(key=lambda one: -one.inspection.score)
        return shown, self._captions(shown, run, percent), words.refused(refused)

    def _captions(self, shown: list[Shown], run: int, percent: float) -> list[tuple[Any, str]]:
        limit = _at(self.runs[run], percent).limit.value
        return [(small(one.map), words.dropped(one, limit)) for one in shown]

    def _test_set(self) -> None:
        outcome = gr.Radio([EVERY, *OUTCOMES], value=EVERY, label="outcome", elem_id="outcomes")
        part = gr.Dropdown([], label="scores", elem_id="part")
        gallery = _gallery("test photographs, largest score first", "tested")
        looked = gr.State(None)
        view = _View("test")
        inputs = [self.chosen, self.rate, outcome]
        _follow(self._parts, inputs, [outcome, part, gallery])
        part.input(self._part, [*inputs, part], gallery)

        def select(run: int, percent: float, kind: str, first: int, event: gr.SelectData) -> Any:
            judged = _at(self.runs[run], percent)
            result = judged.only(kind)[first + event.index]
            one = _looked_at(self.runs[run], result.path)
            return (run, one), *view.of(one, words.two(["tested"], [words.sentence(result, judged)]), result.label == 1)

        gallery.select(select, [*inputs, part], [looked, *view.parts])
        view.button.click(self._mark, [looked, self.rate], view.answer)

    def _parts(self, run: int, percent: float, outcome: str) -> Any:
        """Outcomes with their numbers, parts of those chosen, and the first part."""
        judged = _at(self.runs[run], percent)
        kinds = [(f"{kind} {judged.counts[kind]}", kind) for kind in (EVERY, *OUTCOMES)]
        results = judged.only(outcome)
        return gr.Radio(kinds), _choice(results), self._part(run, percent, outcome, 0)

    def _part(self, run: int, percent: float, outcome: str, first: int) -> list[tuple[Any, str]]:
        results = _at(self.runs[run], percent).only(outcome)[first : first + _PAGE]
        return [(self.runs[run].thumbnail(result.path), words.caption(result)) for result in results]

    def _compare(self) -> None:
        names = [(run.name, place) for place, run in enumerate(self.runs)]
        other = gr.Dropdown(names, value=1, label="with", elem_id="other")
        which = gr.Radio([_DIFFER, EVERY], value=_DIFFER, label="photographs")
        part = gr.Dropdown([], label="scores")
        gallery = _gallery("this run | the other", "compared")
        said = gr.HTML()
        with gr.Row():
            maps = [_picture(label, f"map_{place}") for place, label in enumerate(("this run", "the other"))]
        inputs = [self.chosen, other, self.rate, which]
        _follow(self._pairs_parts, inputs, [part, gallery])
        part.input(self._pairs_part, [*inputs, part], gallery)

        def select(run: int, second: int, percent: float, kind: str, first: int, event: gr.SelectData) -> Any:
            pair = self._pairs(run, second, percent, kind)[first + event.index]
            both = [self.runs[run], self.runs[second]]
            lines = [words.sentence(one, _at(opened, percent)) for one, opened in zip(pair, both, strict=True)]
            drawn = [_looked_at(opened, pair[0].path).map for opened in both]
            return words.two([opened.name for opened in both], lines), *drawn

        gallery.select(select, [*inputs, part], [said, *maps])

    def _pairs(self, run: int, other: int, percent: float, which: str) -> Pairs:
        found = shared(_at(self.runs[run], percent), _at(self.runs[other], percent))
        return differing(found) if which == _DIFFER else found

    def _pairs_parts(self, run: int, other: int, percent: float, which: str) -> Any:
        results = [one for one, _ in self._pairs(run, other, percent, which)]
        return _choice(results), self._pairs_part(run, other, percent, which, 0)

    def _pairs_part(self, run: int, other: int, percent: float, which: str, first: int) -> list[tuple[Any, str]]:
        pairs = self._pairs(run, other, percent, which)[first : first + _PAGE]
        return [(self.runs[run].thumbnail(one.path), words.caption(one, two)) for one, two in pairs]

    def _mark(self, looked: tuple[int, Shown], percent: float) -> str:
        """Keep the photograph that is shown as a false alarm of its run, and say what to do with it."""
        opened, one = self.runs[looked[0]], looked[1]
        limit = _at(opened, percent).limit.value
        new = opened.feedback.add(one.name, one.file, one.inspection.score, limit)
        return words.marked(opened.feedback.path, opened.run.source, new)


class _View:
    """A photograph and its map at full size, what is said of it, and a button for a false alarm."""

    def __init__(self, name: str) -> None:
        self.said = gr.HTML(elem_id=f"said_{name}")
        with gr.Row():
            self.pictures = [_picture(label, f"{name}_{label}") for label in ("photograph", "map")]
        self.legend = gr.Markdown(visible=False)
        self.button = gr.Button("This is normal: mark a false alarm", visible=False, elem_id=f"mark_{name}")
        self.answer = gr.HTML(elem_id=f"marked_{name}")

    @property
    def parts(self) -> list[Any]:
        """What `of` fills."""
        return [self.said, *self.pictures, self.legend, self.button, self.answer]

    def of(self, one: Shown, said: str, defective: bool = False) -> list[Any]:
        """The values of the parts; a photograph that is known to be defective is no false alarm."""
        return [said, one.photograph, one.map, gr.Markdown(_LEGEND, visible=True), gr.Button(visible=not defective), ""]


def _gallery(label: str, name: str) -> Any:
    """Small pictures with their captions, as many in a row as there is room for (see `words.CSS`)."""
    return gr.Gallery(
        label=label, columns=1, height="auto", object_fit="contain", allow_preview=False, elem_id=name, buttons=[]
    )


def _picture(label: str, name: str) -> Any:
    return gr.Image(
        label=label, interactive=False, format="png", elem_id=name, min_width=300, buttons=["fullscreen", "download"]
    )


def _follow(tell: Callable[..., Any], inputs: list[Any], outputs: Any) -> None:
    """Let outputs follow inputs, from the first sight of the page on."""
    gr.on(None, tell, inputs, outputs, trigger_mode="always_last", show_progress="hidden")


def _choice(results: Sequence[ImageResult]) -> Any:
    """Parts of a list, by their first place, named by their scores."""
    starts = range(0, len(results), _PAGE)
    parts = [results[start : start + _PAGE] for start in starts]
    names = [
        f"{start + 1} to {start + len(part)} of {len(results)}: scores {part[0].score:.3g} to {part[-1].score:.3g}"
        for start, part in zip(starts, parts, strict=True)
    ]
    return gr.Dropdown(list(zip(names, starts, strict=True)) or [("none", 0)], value=0)


def _looked_at(run: OpenedRun, name: str) -> Shown:
    try:
        return run.look_at_test(name)
    except (OSError, ValueError) as error:
        raise gr.Error(f"The photograph cannot be shown: {error}", print_exception=False) from None


def _at(run: OpenedRun, percent: float) -> AtRate:
    return run.at(percent / 100)


def _percent(run: OpenedRun) -> float:
    return float(min(50, max(0.5, round(200 * run.inspector.limits["false_alarms_asked"]) / 2)))
