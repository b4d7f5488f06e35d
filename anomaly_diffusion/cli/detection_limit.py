"""`detection_limit`: which width of painted defect a finished run finds nine times in ten, for each family."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly_diffusion import files
from anomaly_diffusion.cli import user_errors
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.detection_limit import DetectionLimit, FamilyLimit, SizedDefect
from anomaly_diffusion.runs.record import RunRecord

if TYPE_CHECKING:
    from anomaly_diffusion.callbacks.verdicts import BatchJudge
    from anomaly_diffusion.data.datamodule import AnomalyDataModule
    from anomaly_diffusion.data.painted_grid import PaintedGrid
    from anomaly_diffusion.data.sample import Sample
    from anomaly_diffusion.detectors.detector import Detector

__all__ = ["main"]

_LEAST = 60  # defects of a family that MIL-HDBK-1823A asks for where answers are hit or miss
_WIDTHS = (0.012, 0.0175, 0.0256, 0.0375, 0.0547, 0.08)
_CONTRASTS = (1.0, 1.57, 2.45, 3.83, 6.0)
_OF_RUN = "detection_limit"


def main(arguments: list[str]) -> int:
    """Paint, judge, fit, and write `detection_limit.json` and `.png` into the run folder."""
    options = _checked(_parser().parse_args(arguments))
    folder = run_folder.find(options.run_folder, options.runs_dir)
    from anomaly_diffusion import api
    from anomaly_diffusion.engine.lightning_internals import quieten
    from anomaly_diffusion.figures.detection_chart import detection_chart

    quieten()
    run = RunRecord(folder)
    detector, data = api.load(run), api.data_module(run)
    detector.categories.chosen(options.category)  # refused before anything is painted
    judge = _judge(detector, data, options.false_alarms, folder)
    painted = _painted(data, options)
    limit = DetectionLimit(
        judge.of(options.category or "").limit.promised,
        options.widths,
        options.contrasts,
        [_limit(family, defects) for family, defects in _found(detector, judge, data, painted).items()],
        list(_real(data, options.category)),
    )
    files.write_json(folder / f"{_OF_RUN}.json", limit.as_dict())
    files.write(folder / f"{_OF_RUN}.png", detection_chart(limit))
    for sentence in limit.sentences():
        print(sentence)
    print(f"{folder / _OF_RUN}.png")
    return 0


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    """Refuse what cannot be painted before anything is read."""
    if options.defects < _LEAST:
        raise user_errors.UsageError(
            f"`--defects` must be at least {_LEAST} of each family (MIL-HDBK-1823A), got {options.defects}."
        )
    for name in ("widths", "contrasts"):
        values = sorted(set(getattr(options, name)))
        if values[0] <= 0 or (name == "widths" and values[-1] >= 1):
            raise user_errors.UsageError(f"`--{name}` must be positive, widths below 1, got {values}.")
        setattr(options, name, values)
    return options


def _judge(detector: "Detector", data: "AnomalyDataModule", false_alarms: float | None, folder: Path) -> "BatchJudge":
    """The judge of the run.

    Raises:
        ValueError: the run has no normal scores, for it is of a version that kept none.
    """
    from anomaly_diffusion.callbacks.verdicts import judge_of

    judge = judge_of(detector, false_alarms, data)
    if judge is None:
        raise ValueError(
            f"The checkpoint of {folder} holds no scores of normal photographs, so nothing has a limit. Train it "
            f"again, or go on with it: anomaly-diffusion train --resume {folder}"
        )
    return judge


def _painted(data: "AnomalyDataModule", options: argparse.Namespace) -> "PaintedGrid":
    """The held-out photographs of the run with defects of the families that were asked for."""
    from anomaly_diffusion.data.painted_grid import Grid, PaintedGrid
    from anomaly_diffusion.data.painting.painter import FAMILIES

    known = {family.kind: family for family in FAMILIES}
    for kind in options.families or ():
        if kind not in known:
            hint = user_errors.closest(kind, known)
            raise user_errors.UsageError(f"`--families` must be some of {', '.join(known)}, got {kind!r}.{hint}")
    families = [known[kind] for kind in options.families or known]
    normal = list(_of_category(data, data.held_out(), options.category))
    if not normal:
        raise ValueError(f"{data.dataset.folder} has no held-out photographs to paint defects on.")
    grid = Grid(families, options.widths, options.contrasts, options.defects, options.seed)
    return PaintedGrid(data.dataset, normal, grid)


def _found(
    detector: "Detector", judge: "BatchJudge", data: "AnomalyDataModule", painted: "PaintedGrid"
) -> dict[str, list[SizedDefect]]:
    """The painted defects of each family, and whether each was found: called defective, and in its place."""
    import torch
    from rich.progress import track

    from anomaly_diffusion.data.datamodule import AnomalyDataModule

    frames = AnomalyDataModule(
        painted, data.image_size, data.batch_size, data.channels, loading=data.loading, tiles=data.tiles
    )
    frames.setup("test")
    detector = detector.to("cuda" if torch.cuda.is_available() else "cpu")
    samples = {painted.name(sample): sample for sample in painted.test_samples()}
    found: dict[str, list[SizedDefect]] = {sample.kind: [] for sample in samples.values()}
    for batch in track(frames.test_dataloader(), "Judging painted defects", transient=True):
        batch = detector.transfer_batch_to_device(batch, detector.device, 0)
        judged = detector.unseen(batch._replace(path=[painted.source(samples[path]) for path in batch.path]))
        for path, said in zip(batch.path, judge(judged, batch), strict=True):
            met = painted.met.get(samples[path].path)
            if met is not None:
                hit = said.defective and bool(said.in_place)
                found[samples[path].kind].append(SizedDefect(path, met.width, met.cnr, hit))
    return found


def _limit(family: str, defects: Sequence[SizedDefect]) -> FamilyLimit:
    """The curve of a family, or why there is none."""
    import numpy as np

    from anomaly_diffusion.verdicts.detection import DetectionCurve, Undetermined

    if not defects:
        return FamilyLimit(family, defects, why="none can be painted on these photographs")
    try:
        width, found = (np.array([getattr(defect, name) for defect in defects]) for name in ("width", "found"))
        return FamilyLimit(family, defects, DetectionCurve(width, found).as_dict())
    except Undetermined as reason:
        return FamilyLimit(family, defects, why=str(reason))


def _of_category(data: "AnomalyDataModule", samples: "Sequence[Sample]", category: str | None) -> "Iterator[Sample]":
    """Those that show a category, or all."""
    names = data.dataset.category_names
    return (one for one in samples if category is None or names[one.category] == category)


def _real(data: "AnomalyDataModule", category: str | None) -> Iterator[SizedDefect]:
    """The defects of the test photographs that have masks."""
    from anomaly_diffusion.data.painting.statistics import defect_statistics

    for sample in _of_category(data, data.dataset.test_samples(), category):
        if sample.label:
            pixels, mask = data.dataset.read(sample)
            for met in defect_statistics(pixels, mask):
                yield SizedDefect(data.dataset.name(sample), met.width, met.cnr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion detection_limit",
        description="Paint defects of known width and contrast on held-out normal photographs of a finished run, and "
        "find the width from which it finds 90 % of them. Writes detection_limit.json and .png into the run folder.",
    )
    parser.add_argument("--run_folder", default="last", help="the run, or last (default)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    parser.add_argument("--category", metavar="NAME", help="which one is painted on, where the run knows several")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="which kinds of defects; default: all")
    shares = f"shares of the shorter side (default: {' '.join(f'{width:g}' for width in _WIDTHS)})"
    parser.add_argument("--widths", nargs="+", type=float, default=_WIDTHS, metavar="W", help=shares)
    ratios = f"contrast-to-noise ratios (default: {' '.join(f'{contrast:g}' for contrast in _CONTRASTS)})"
    parser.add_argument("--contrasts", nargs="+", type=float, default=_CONTRASTS, metavar="C", help=ratios)
    parser.add_argument("--defects", type=int, default=120, metavar="N", help="of each family (default: 120)")
    parser.add_argument("--false_alarms", type=float, metavar="RATE", help="default: what the run's limits promise")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="where defects are painted (default: 0)")
    return parser
