"""How many photographs does it take? Test figures of models that learn from N of them, drawn several times.

Run: python benchmarks/few_photographs.py data/tile.yaml data/ball_screw.yaml [--counts 8 16 32 64] [--draws 3]
Each DATA is an experiment of a labelled set in the MVTec AD layout; N of its training photographs are linked into a
folder beside the runs, chosen by the draw, which is also the seed. A run that is finished is not repeated, so that a
benchmark that was stopped goes on. Printed for each set and N: mean and standard deviation over draws of pixel AP and
AUPRO, and false alarms at the limit. `few_photographs.png` shows pixel AP over N, a panel for each set. The bar: the
first model is never below the better of the others by more than its spread.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import yaml
from rich.progress import track

from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.data.sample import stable_hash
from anomaly_diffusion.figures.canvas import RIGHT, WRONG, blank_figure, png
from anomaly_diffusion.runs.record import RunRecord

FIGURES = ("pixel_ap", "aupro")
INKS = (RIGHT, WRONG, "#009E73", "#CC79A7")


class Case(NamedTuple):
    """One run: a model that learns from some photographs of a set."""

    data: str
    model: str
    many: int
    draw: int

    @property
    def name(self) -> str:
        """Names its folder."""
        return f"{Path(self.model).stem}-{Path(self.data).stem}-n{self.many}"


def photographs(case: Case, runs: Path, root: Path) -> Path:
    """The root of a data set of N linked photographs, and all that the whole set has for testing."""
    settings = _settings(case.data)["dataset"]["init_args"]
    whole, category = root / settings["root"] / settings["category"], settings["category"]
    few = runs / "photographs" / f"{Path(case.data).stem}-n{case.many}-draw{case.draw}"
    good = few / category / "train" / "good"
    good.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in (whole / "train" / "good").iterdir())
    for name in sorted(names, key=lambda name: stable_hash(case.draw, name))[: case.many]:
        _link(whole / "train" / "good" / name, good / name)
    for part in ("test", "ground_truth"):
        _link(whole / part, few / category / part)
    return few


def run(case: Case, runs: Path, root: Path) -> RunRecord:
    """The finished run of a case."""
    folder = runs / case.name / f"{case.draw}"
    if not (folder / "summary.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        settings = {
            "seed_everything": case.draw,
            "data.image_size": _settings(case.data).get("image_size", [256, 256]),
            "data.dataset.init_args.root": photographs(case, runs, root).resolve(),
            "runs_dir": runs.resolve(),
            "experiment": case.name,
            "run": f"{case.draw}",
            "wandb.mode": "disabled",
            "trainer.enable_progress_bar": "false",
        }
        words = [word for config in (case.model, case.data) for word in ("--config", config)]
        words += [f"--{name}={value}" for name, value in settings.items()]
        command = [
            sys.executable,
            "-m",
            "anomaly_diffusion",
            "train",
            *words,
        ]  # a process each, which gives back memory
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return RunRecord(folder)


def table(found: dict[tuple[str, int, str], list[dict[str, Any]]]) -> None:
    """Print a line for each set, number of photographs and model."""
    print(f"{'set':12} {'N':>4}  {'model':12} {'pixel AP':>13} {'AUPRO':>13}  false alarms")
    for (data, count, model), summaries in found.items():
        told = [_spread([summary[name] for summary in summaries]) for name in FIGURES]
        alarms = [summary["verdicts"]["false_alarms"] for summary in summaries]
        counts = ", ".join(str(alarm["hits"]) for alarm in alarms) + f" of {alarms[0]['total']}"
        print(f"{Path(data).stem:12} {count:4}  {Path(model).stem:12} {told[0]:>13} {told[1]:>13}  {counts}")


def misses(found: dict[tuple[str, int, str], list[dict[str, Any]]], models: list[str]) -> list[str]:
    """Where the first model is below the better of the others by more than its own spread."""
    told = []
    for data, count in dict.fromkeys((data, count) for data, count, _ in found):
        for name in FIGURES:
            ours, *others = ([summary[name] for summary in found[data, count, model]] for model in models)
            behind = max(map(mean, others)) - mean(ours) if others else 0.0
            if behind > (stdev(ours) if len(ours) > 1 else 0.0):
                told.append(f"{Path(data).stem}, N = {count}: {name} {behind:.3f} below, its spread {_spread(ours)}")
    return told


def chart(found: dict[tuple[str, int, str], list[dict[str, Any]]], models: list[str]) -> bytes:
    """Pixel AP over the number of photographs: a panel for each set, a line for each model, bars of one deviation."""
    sets = list(dict.fromkeys(data for data, _, _ in found))
    figure = blank_figure(60 + 230 * len(sets), 280)
    for axes, data in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for ink, model in zip(INKS, models, strict=False):
            counts = [count for one, count, other in found if (one, other) == (data, model)]
            values = [[summary["pixel_ap"] for summary in found[data, count, model]] for count in counts]
            spread = [stdev(some) if len(some) > 1 else 0 for some in values]
            label = Path(model).stem
            axes.errorbar(counts, [mean(some) for some in values], spread, marker="o", ms=4, color=ink, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_title(Path(data).stem, fontsize=10)
        axes.set_xlabel("normal photographs")
        axes.set_ylim(bottom=0)
    figure.axes[0].set_ylabel("pixel AP")
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return png(figure)


def _settings(data: str) -> dict[str, Any]:
    path = Path(data) if Path(data).is_file() else experiments_folder() / data
    settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    return settings


def _link(there: Path, here: Path) -> None:
    if not here.exists():
        here.symlink_to(there.resolve())


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="DATA")
    parser.add_argument(
        "--models", nargs="+", default=["model/feature.yaml", "model/padim.yaml", "model/patchcore.yaml"]
    )
    parser.add_argument("--counts", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--runs_dir", type=Path, default=Path("runs/few"))
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("ANOMALY_DIFFUSION_DATA", ".")))
    options = parser.parse_args()
    draws = range(options.draws)
    cases = [
        Case(data, model, count, draw)
        for draw in draws
        for data in options.data
        for count in options.counts
        for model in options.models
    ]
    summaries = {case: run(case, options.runs_dir, options.root).summary for case in track(cases, "Training")}
    found: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: (options.data.index(case.data), case.many)):
        found[case.data, case.many, case.model].append(summaries[case])
    table(found)
    print(*(misses(found, options.models) or ["Nowhere below the others by more than its spread."]), sep="\n")
    picture = options.runs_dir / "few_photographs.png"
    picture.write_bytes(chart(found, options.models))
    print(picture)


if __name__ == "__main__":
    main()
