"""Export of a finished run: its graph is traced, described and written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from anomaly_diffusion import __version__, api
from anomaly_diffusion.callbacks.verdicts import reference_of
from anomaly_diffusion.deploy.exporting.formats import Format, silence
from anomaly_diffusion.deploy.exporting.graph import JudgingGraph
from anomaly_diffusion.deploy.exporting.licences import licences
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.runtime.description import POLICIES, Description
from anomaly_diffusion.types import Images

__all__ = ["export"]


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
    height, width = description.frame
    graph = JudgingGraph(detector, number).eval()
    example = torch.full((2, height, width, description.channels), 127, dtype=torch.uint8)
    valid = torch.ones(2, height, width, dtype=torch.bool)
    with torch.no_grad():
        _check_draws(detector, lambda: graph(example, valid))
        program = _traced(graph, (example, valid), type(detector).__name__)
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
    if policy not in POLICIES:
        raise ValueError(f"`data.loading.policy` must be one of {', '.join(POLICIES)} to be exported, got {policy}.")
    if detector.scoring.registration is not None:
        raise ValueError(
            "A run with `scoring.registration` cannot be exported: motions are looked for outside of the graph. Judge "
            "by the run itself."
        )
    if getattr(data, "tiles", None):
        raise ValueError("A run with `data.tiles` cannot be exported: an exported file judges whole frames.")
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
    )


def _check_draws(detector: Any, judge: Callable[[], object]) -> None:
    """Refuse a strategy that asks for noise."""
    drawn = getattr(detector, "noise", None)
    if not isinstance(drawn, NoiseSource):
        return
    detector.noise = _NoNoise()
    try:
        judge()
    except _NoiseDrawn:
        raise ValueError(
            f"{detector.method} draws noise, by the name of each photograph, which no exported graph can: take a "
            "reconstruction without noise (`draws: 0`, NoiseFreeStart), and validate the run again."
        ) from None
    finally:
        detector.noise = drawn


def _traced(graph: JudgingGraph, example: tuple[Tensor, Tensor], name: str) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    try:
        with silence():
            return torch.export.export(graph, example, dynamic_shapes=({0: batch}, {0: batch}))
    except Exception as error:  # tracing fails in as many ways as there are programs
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{name} cannot be exported with these settings: {reason[:200]}") from error
