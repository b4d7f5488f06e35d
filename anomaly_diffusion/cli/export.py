"""`export`: a finished run as one file that judges photographs without torch."""

import argparse
import time
from pathlib import Path

from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import Run

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Write the file, and say how large it is and what it holds."""
    options = _parser().parse_args(arguments)
    start = time.perf_counter()
    run = Run(run_folder.find(options.run_folder, options.runs_dir))
    from anomaly_diffusion.deploy.exporting.export import export
    from anomaly_diffusion.deploy.exporting.formats import FORMATS

    path, told = export(run, FORMATS[options.format](), options.output, options.category)
    size, seconds = path.stat().st_size / 1e6, time.perf_counter() - start
    (height, width), kind = told.frame, "tiles" if told.tiles else "frames"
    print(f"{path}: {size:.1f} MB, {seconds:.0f} s")
    print(f"  {told.method} of {told.run}, {kind} of {height} x {width} x {told.channels} by {told.policy}: networks,")
    print(f"  statistics and memory, calibration, map, score, and {len(told.scores)} normal scores for limits")
    for licence in told.licences:
        print(f"  holds {licence}")
    if (precision := (run.config.get("trainer") or {}).get("precision")) not in (None, "32", "32-true"):
        print(f"  calculates in float32, its run in {precision}: maps and scores differ a little from the run's")
    print(f'judge with it: anomaly_diffusion.Inspector("{path}"), or anomaly_diffusion.runtime where there is no torch')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion export",
        description="Write a finished run as one file: network, statistics, calibration, map, score, limits.",
    )
    parser.add_argument("--run_folder", required=True, help='the run, or "last"')
    parser.add_argument(
        "--format", choices=("onnx", "torch"), default="onnx", help="ONNX (default), or a program of torch.export"
    )
    parser.add_argument("--output", type=Path, help="the file (default: exported.onnx or exported.pt2 in the run)")
    parser.add_argument("--category", metavar="NAME", help="which one the file judges, where the run knows several")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs are (default: runs)")
    return parser
