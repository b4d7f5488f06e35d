"""What a model sees: a few test images with what it made of them, as far as their photographs may be shown."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from anomaly_diffusion.report.galleries import TILES
from anomaly_diffusion.report.paper.drawing import WIDTH, named, pdf
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.study import Study, Trial
from anomaly_diffusion.types import ImageResult

__all__ = ["BUILT_IN", "chosen", "gallery", "may_be_shown"]

BUILT_IN = "Textures"  # the data set of photographs that scikit-image ships under a free licence
_MOST = 6
_ROWS = {
    "image": "image",
    "reconstruction": "reconstruction",
    "normal_features": "normal features",
    "anomaly_map": "anomaly map",
}


def may_be_shown(trial: Trial) -> bool:
    """Whether a report that is passed on may hold its photographs: those of the built-in textures."""
    return trial.run.setting("data.dataset").rpartition(".")[2] == BUILT_IN


def gallery(study: Study, photographs: bool) -> Section | None:
    """Defective test images of one run, chosen by kind and place as everywhere; None where nothing may be shown.

    Args:
        study: the runs.
        photographs: whether those of every set may be shown.
    """
    for trial in study.trials:
        if trial.plain and (photographs or may_be_shown(trial)):
            shown = chosen(trial)
            if shown:
                told = {
                    "data": trial.data,
                    "model": named(trial.model),
                    "seed": trial.seed,
                    "count": len(shown),
                }
                return Section(told, {"gallery": Drawn(_picture(trial, shown), [trial])})
    return None


def chosen(trial: Trial) -> list[tuple[ImageResult, Sequence[str]]]:
    """The defective images of a run that the gallery shows, each with the names of its pictures."""
    return [(one, names) for one in trial.run.shown if one.label and (names := _tiles(trial, one))][:_MOST]


def _tiles(trial: Trial, result: ImageResult) -> Sequence[str]:
    """The names of its pictures, if it has all of them."""
    return next((names for names in TILES if all(trial.run.tile(result.path, name).is_file() for name in names)), ())


def _picture(trial: Trial, shown: Sequence[tuple[ImageResult, Sequence[str]]]) -> bytes:
    names = shown[0][1]
    figure = Figure(figsize=(WIDTH, 0.3 + WIDTH / _MOST * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(shown), squeeze=False)
    for column, (result, _) in enumerate(shown):
        for row, name in enumerate(names):
            _tile(grid[row][column], trial.run.tile(result.path, name).read_bytes())
        grid[0][column].set_title(f"{result.kind.replace('_', ' ')}\n{result.outcome or 'not judged'}", fontsize=7)
    for row, name in enumerate(names):
        grid[row][0].set_ylabel(_ROWS[name])
    return pdf(figure)


def _tile(axes: Axes, content: bytes) -> None:
    axes.imshow(imread(BytesIO(content), format="png"), cmap="grey")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
