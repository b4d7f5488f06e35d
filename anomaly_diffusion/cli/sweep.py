"""`sweep`: carries out a sweep file of W&B without W&B; what is done is skipped, what was interrupted goes on."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from anomaly_diffusion.cli.choose import choice_among
from anomaly_diffusion.cli.sweeping import sweep_file
from anomaly_diffusion.cli.sweeping.sweep_file import Sweep
from anomaly_diffusion.cli.sweeping.sweep_jobs import Job, command_of, planned, work
from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["main"]

_INTERRUPTED = 130
_MOST_JOBS = 256


def main(arguments: list[str]) -> int:
    """Run all trials of a file, and print them in the order of its metric."""
    options = _parser().parse_args(arguments)
    if not 1 <= options.jobs <= _MOST_JOBS:
        raise UsageError(f"`--jobs` must be a number of processes from 1 to {_MOST_JOBS}, got {options.jobs}.")
    sweep = sweep_file.read(options.file)
    jobs = planned(sweep, sweep.trials(options.count, options.seed), options.runs_dir, options.wandb)
    if options.dry_run:
        for job in jobs:
            print(shlex.join(command_of(sweep, job, options.wandb)))
        return 0
    try:
        with _shown(sweep, jobs) as show:
            work(sweep, jobs, options.wandb, show, options.jobs)
    except KeyboardInterrupt:
        finished = sum(job.done for job in jobs)
        print(f"Interrupted: {finished} of {len(jobs)} trials are done. The same command goes on.", file=sys.stderr)
        return _INTERRUPTED
    Console(width=None if sys.stdout.isatty() else 120).print(_table(sweep, _ranked(sweep, jobs)))
    print(_choice(jobs), end="")
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed:
        print(f"failed: {job.log}: {job.note}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def _shown(sweep: Sweep, jobs: Sequence[Job]) -> Iterator[Callable[[], None]]:
    """A table that changes on a terminal; a line for each change elsewhere."""
    if sys.stdout.isatty():
        with Live(_table(sweep, jobs), refresh_per_second=4) as live:
            yield lambda: live.update(_table(sweep, jobs))
        return
    before: dict[Path, str] = {}

    def tell() -> None:
        for job in jobs:
            if before.get(job.folder, "waiting") != job.state:
                print(f"{time.strftime('%H:%M:%S')}  {job.state:<9}  {job.folder}", flush=True)
                before[job.folder] = job.state

    yield tell


def _ranked(sweep: Sweep, jobs: Sequence[Job]) -> list[Job]:
    """Jobs in the order of the metric, those without it last."""
    sign = 1 if sweep.ascending else -1
    figures = {id(job): job.figure(sweep.metric) for job in jobs}
    return sorted(jobs, key=lambda job: (figures[id(job)] is None, sign * (figures[id(job)] or 0.0)))


def _choice(jobs: Sequence[Job]) -> str:
    """Which trial its painted defects speak for, the first being the default; nothing where there are not two."""
    folders: dict[str, list[Path]] = {}
    for job in jobs:
        if job.done:
            folders.setdefault(job.trial.experiment, []).append(job.folder)
    if len(folders) < 2:
        return ""
    try:
        return f"{choice_among(folders, next(iter(folders)))}\n"
    except (FileNotFoundError, ValueError) as error:
        return f"validation cannot tell: {error}\n"


def _table(sweep: Sweep, jobs: Sequence[Job]) -> Table:
    table = Table("trial", "seed", "state", "seconds", sweep.metric, box=None)
    for job in jobs:
        figure = job.figure(sweep.metric)
        seconds = f"{job.seconds:.0f}" if job.seconds else "-"
        shown = "-" if figure is None else f"{figure:.4f}"
        table.add_row(job.trial.experiment, job.folder.name, job.state, seconds, shown)
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion sweep",
        description="Run every trial of a W&B sweep file here, one process per GPU. Run it again to go on.",
    )
    parser.add_argument("file", type=Path, help="for instance experiments/sweeps/noise_depth.yaml")
    parser.add_argument("--count", type=int, metavar="N", help="at most N trials; a random sweep must be told")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of a random sweep's draws (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="at the same time without GPUs (default: 1)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    parser.add_argument("--wandb", choices=("offline", "disabled", "online"), default="offline", help="as --wandb.mode")
    parser.add_argument("--dry_run", action="store_true", help="print the commands and stop")
    return parser
