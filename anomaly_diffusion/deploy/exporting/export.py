"""Export of a finished run: its graph is traced, described and written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from anomaly_diffusion import __version__, api
from anomaly_diffusion.callbacks.verdicts import reference_of
from anomaly_diffusion.data.tiles import Tiles
from anomaly_diffusion.deploy.exporting.formats import Format, silence
from anomaly_diffusion.deploy.exporting.graph import JudgingGraph, TiledGraph
from anomaly_diffusion.deploy.exporting.licences import licences
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.runtime.description import POLICIES, Description
from anomaly_diffusion.tiling import GRID, Tiling, Walk
from anomaly_diffusion.types import Images

__all__ = ["export"]


Told = TypeVar("Told")

_BATCH = torch.export.Dim("batch")


class Example(NamedTuple):
    """Inputs of a graph, and of each of them the sides that may be of any length, by their numbers."""

    inputs: tuple[Any, ...]
    sides: tuple[Any, ...]


class _NoiseDrawn(Exception):
    """Somebody asked for noise."""


class _NoNoise(NoiseSource):
    """Refuses to be drawn from."""

    def __call__(self, like: Images, generator: Generator | None = None) -> Images:
        raise _NoiseDrawn


def export(run: Run, form: Format, path: Path | None = None, category: str | None = None) -> tuple[Path, Description]:
    """Write a run as one file; return where it lies, and its description.

    Args:
        run: finished.
        form: of the file.
        path: of the file; `exported` in the run's folder if not given.
        category: which one the file judges, where the run knows several apart.

    Raises:
        FileNotFoundError: the run has no checkpoint.
        ImportError: a package that writes the file is not installed.
        ValueError: its checkpoint holds no scores of normal photographs, its strategy draws noise, or a part of it
            cannot be traced; or it knows several categories, and none is chosen.
    """
    form.check()
    detector, data = api.load(run), api.framing(run)
    number = detector.categories.chosen(category)
    description = _described(run, detector, data, number)
    with torch.no_grad():
        graph, example = _graph(detector, number, description)
        program = _traced(graph, example, type(detector).__name__)
    path = path or run.folder / f"exported{form.suffix}"
    form.write(program, description.written(), path)
    return path, description


def _described(run: Run, detector: Detector, data: Any, category: int) -> Description:
    scores = detector.normals_of_categories[category]
    if not scores.known:
        raise ValueError(
            f"The checkpoint of {run.folder} holds no scores of normal photographs, so nothing has a limit. "
            f"Go on with it: anomaly-diffusion train --resume {run.folder}"
        )
    policy = type(data.policy).__name__
    if policy not in POLICIES and not data.tiles:
        raise ValueError(f"`data.loading.policy` must be one of {', '.join(POLICIES)} to be exported, got {policy}.")
    if detector.scoring.registration is not None:
        raise ValueError(
            "A run with `scoring.registration` cannot be exported: motions are looked for outside of the graph. Judge "
            "by the run itself."
        )
    if data.tiles and len(detector.scales) > 1:
        raise ValueError(
            "A run with `data.tiles` and several `scales` cannot be exported: take `scales: [1]`, or judge by the run."
        )
    reference = reference_of(scores)
    height, width = data.image_size
    return Description(
        run=run.name,
        method=detector.method,
        frame=(height, width),
        channels=data.channels,
        policy=policy,
        white_level=data.dataset.white_level,
        scores=reference.scores.tolist(),
        peaks=reference.peaks.tolist(),
        masses=reference.masses.tolist(),
        cut=reference.cut,
        statistics={name: values.tolist() for name, values in reference.statistics.items()},
        licences=licences(detector),
        made_by=f"anomaly-diffusion {__version__}",
        false_alarms=(run.config.get("verdicts") or {}).get("false_alarms"),
        tiles=data.tiles,
        whole=_whole(detector, data.tiles) if data.tiles else None,
    )


def _check_draws(detector: Any, judge: Callable[[], Told]) -> Told:
    """What is told by a strategy that asks for no noise; refuse any other."""
    drawn = getattr(detector, "noise", None)
    if not isinstance(drawn, NoiseSource):
        return judge()
    detector.noise = _NoNoise()
    try:
        return judge()
    except _NoiseDrawn:
        raise ValueError(
            f"{detector.method} draws noise, by the name of each photograph, which no exported graph can: take a "
            "reconstruction without noise (`draws: 0`, NoiseFreeStart), and validate the run again."
        ) from None
    finally:
        detector.noise = drawn


def _whole(detector: Detector, tiles: Tiles) -> tuple[int, int] | None:
    """Height and width of the only frames whose positions the detector knows; None where it knows none.

    Raises:
        ValueError: nobody says what they are.
    """
    if not detector.scoring.by_position:
        return None
    if tiles.frame is None and detector.calibration.neighbourhood is None:
        raise ValueError(
            "The run has statistics by position of photographs whose size nobody has written down: give them one "
            "frame, `data.tiles.frame`, and train it again to export it, or judge by the run."
        )
    height, width = tiles.frame_of(tiles.frame) if tiles.frame else detector.calibration.placed.shape[-2:]
    return height, width


def _graph(detector: Detector, category: int, description: Description) -> tuple[JudgingGraph, Example]:
    """The graph, with an example of its inputs, and which of their sides may be of any length.

    Raises:
        ValueError: the detector draws noise.
    """
    height, width = description.frame
    shown = torch.full((2, height, width, description.channels), 127, dtype=torch.uint8)
    if description.tiles is not None:
        return _tiled(TiledGraph(detector, category).eval(), shown, description.tiles.tiling, description.whole)
    graph, valid = JudgingGraph(detector, category).eval(), torch.ones(2, height, width, dtype=torch.bool)
    _check_draws(detector, lambda: graph(shown, valid))
    return graph, Example((shown, valid), ({0: _BATCH}, {0: _BATCH}))


def _tiled(
    graph: TiledGraph, tiles: Tensor, tiling: Tiling, known: tuple[int, int] | None
) -> tuple[TiledGraph, Example]:
    """The same of tiles.

    Args:
        graph: in two parts.
        tiles: some, (N, h, w, C).
        tiling: where they lie.
        known: the only height and width that photographs may have; None: they may have any.
    """
    place = torch.tensor([[-1.0, -1.0, 0.0, 0.0]] * len(tiles))
    found = _check_draws(graph.detector, lambda: graph.looked_at(tiles, place))
    size = known or (tiling.height + 3 * GRID, tiling.width + 5 * GRID)  # such that no side has two meanings
    walk = Walk.over(size, tiling)
    image, valid = tiles.new_full((1, *size, tiles.shape[3]), 127), torch.ones(1, *size, dtype=torch.bool)
    whole = tuple(part.new_zeros(1, *part.shape[1:-2], *walk.size(part.shape[-2:])) for part in found)
    rows, columns = torch.export.Dim("rows"), torch.export.Dim("columns")

    def sides(part: Tensor, first: int) -> dict[int, Any]:
        """Which sides of a grid over the photograph may be of any length: its own are multiples of `GRID`."""
        if known:
            return {}
        pairs = zip((first, first + 1), size, (rows, columns), strict=True)
        return {axis: part.shape[axis] * GRID // side * cells for axis, side, cells in pairs}

    grids = tuple(sides(part, part.ndim - 2) for part in whole)
    batch = {0: _BATCH}
    return graph, Example((tiles, place, image, valid, whole), (batch, batch, sides(image, 1), sides(valid, 1), grids))


def _traced(graph: JudgingGraph, example: Example, name: str) -> torch.export.ExportedProgram:
    try:
        with silence():
            return torch.export.export(graph, example.inputs, dynamic_shapes=example.sides)
    except Exception as error:  # tracing fails in as many ways as there are programs
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{name} cannot be exported with these settings: {reason[:200]}") from error
