"""What each part is worth: a model with one thing changed, less the model as shipped, seed by seed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from anomaly_diffusion.report.paper.drawing import draw_gain, look, model_legend, named, panels, pdf, zero_line
from anomaly_diffusion.report.paper.effects import Gain, paired
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import CLASSICAL, Study, Trial

__all__ = ["parts"]


class _Part(NamedTuple):
    """A change of a model on a set.

    Attributes:
        pairs: runs of the same seed with and without it.
        pixel_ap: gain of those with it.
        aupro: likewise.
        trials: all of them.
    """

    data: str
    model: str
    change: str
    pairs: int
    pixel_ap: Gain
    aupro: Gain
    trials: Sequence[Trial]


def parts(study: Study) -> Section | None:
    """Paired differences of every change on every set; None where nothing was changed."""
    found = list(_parts(study))
    if not found:
        return None
    rows = [
        {
            "data": part.data,
            "model": named(part.model),
            "change": part.change.replace("_", " "),
            "pairs": part.pairs,
            "better": part.pixel_ap.better,
            "worse": part.pixel_ap.worse,
            "pixel_ap": part.pixel_ap.words,
            "aupro": part.aupro.words,
        }
        for part in found
    ]
    trials = list(dict.fromkeys(trial.run.folder for part in found for trial in part.trials))
    drawn = [trial for trial in study.trials if trial.run.folder in trials]
    return Section({"rows": rows}, {"parts": Drawn(_forest(found), drawn)})


def _parts(study: Study) -> Iterator[_Part]:
    """Every single change; that of the depth sweep is all of its depths fused."""
    for data in study.data:
        for model in (model for model in study.models if model not in CLASSICAL):
            shipped = study.plain(data, model)
            single = [trial.changes[0] for trial in study.trials if len(trial.changes) == 1]
            for change, trials in study.changed(data, model, dict.fromkeys(single)).items():
                gains = [paired(trials, shipped, figure) for figure in ("pixel_ap", "aupro")]
                if gains[0] and gains[1]:
                    (pixel_ap, pairs), (aupro, _) = gains[0], gains[1]
                    yield _Part(data, model, change, pairs, pixel_ap, aupro, [*trials, *shipped])


def _forest(found: Sequence[_Part]) -> bytes:
    """A panel for each set: a line for each model and change."""
    data = list(dict.fromkeys(part.data for part in found))
    lines = list(dict.fromkeys((part.model, part.change) for part in found))
    figure, axes = panels(len(data), len(data), 0.5 + 0.15 * len(lines))
    for place, (axis, name) in enumerate(zip(axes, data, strict=True)):
        _draw(axis, [part for part in found if part.data == name], lines)
        axis.set_title(name)
        axis.tick_params(left=False, labelleft=place == 0)
    figure.supxlabel("pixel AP less that of the model as shipped", fontsize=7.5)
    model_legend(figure, list(dict.fromkeys(model for model, _ in lines)))
    return pdf(figure)


def _draw(axes: Axes, found: Sequence[_Part], lines: Sequence[tuple[str, str]]) -> None:
    zero_line(axes)
    for part in found:
        draw_gain(axes, lines.index((part.model, part.change)), part.pixel_ap, look(part.model))
    axes.set_yticks(range(len(lines)), [change.replace("_", " ") for _, change in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
