"""The trials of a sweep as processes: begun, resumed, watched and ended."""

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from anomaly_diffusion.cli.sweeping.sweep_file import SEED, Sweep, Trial
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import SUMMARY, RunRecord

__all__ = ["Job", "command_of", "planned", "work"]

_PAUSE = 0.2  # seconds between two looks at the processes
_PATIENCE = 20  # seconds for a process to end by itself


@dataclass
class Job:
    """A trial and what has become of it.

    Attributes:
        trial: what was chosen.
        folder: of its run.
        state: waiting, running, done, skipped (was done before), elsewhere (another process has it) or failed.
        seconds: how long it has run.
        note: the last line of its log, where it failed.
    """

    trial: Trial
    folder: Path
    state: str = "waiting"
    seconds: float = 0.0
    note: str = ""

    @property
    def done(self) -> bool:
        """Whether the run has its results."""
        return (self.folder / SUMMARY).is_file()

    @property
    def log(self) -> Path:
        """What the run printed; whoever runs it holds a lock on this file."""
        return self.folder.with_suffix(".log")

    def figure(self, metric: str) -> float | None:
        """A figure of validation, such as val/pixel_ap; None until there is one."""
        if not self.done:
            return None
        value = (RunRecord(self.folder).summary.get("validation") or {}).get(metric.partition("/")[2])
        return None if value is None else float(value)


@dataclass
class _Process:
    job: Job
    child: subprocess.Popen[bytes]
    device: str | None
    began: float


def planned(sweep: Sweep, trials: Sequence[Trial], runs: Path, mode: str) -> list[Job]:
    """A job for each trial, with the folder of its run.

    Args:
        sweep: what is asked for.
        trials: of it.
        runs: where runs go.
        mode: of W&B.

    Raises:
        ValueError: trials would share a folder, or another command has filled one.
    """
    jobs = [Job(trial, runs / f"{sweep.name}-{trial.experiment}" / trial.run) for trial in trials]
    folders = [job.folder for job in jobs]
    for job in jobs:
        if folders.count(job.folder) > 1:
            raise ValueError(f"Two trials would both go to {job.folder}. Vary `{SEED}` or shorten values.")
        asked = shlex.join(command_of(sweep, job, mode))
        with_log = job.log.is_file() and job.folder.is_dir()
        if with_log and _first_line(job.log) not in (asked, ""):
            raise ValueError(
                f"{job.folder} comes from another command ({job.log} begins with it). Rename the sweep file, give "
                "another --runs_dir, or remove the folder."
            )
    return jobs


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().removeprefix("$ ").rstrip("\n")


def command_of(sweep: Sweep, job: Job, mode: str) -> list[str]:
    """The words of a fresh training; options that come last win."""
    place = ["--runs_dir", str(job.folder.parents[1]), "--experiment", job.folder.parent.name]
    words = [*sweep.words(job.trial), *place, "--run", job.folder.name, "--wandb.mode", mode]
    return [sys.executable, "-m", "anomaly_diffusion", *words]


def work(sweep: Sweep, jobs: Sequence[Job], mode: str, show: Callable[[], None], at_once: int = 1) -> None:
    """Keep every device busy until no trial waits; processes end with this one, unless it is killed.

    Args:
        sweep: what is asked for.
        jobs: its trials.
        mode: of W&B.
        show: is called again and again.
        at_once: number of processes where there are no GPUs; several of them share the cores.
    """
    free, waiting, running = _devices(at_once), list(jobs), list[_Process]()
    try:
        while waiting or running:
            while waiting and free:
                started = _start(sweep, waiting.pop(0), mode, free[0])
                if started:
                    running.append(started)
                    free.pop(0)
            for process in [process for process in running if _ended(process)]:
                running.remove(process)
                free.append(process.device)
            show()
            time.sleep(_PAUSE)
    finally:
        _stop(running)


def _devices(at_once: int) -> list[str | None]:
    """One entry for each process that may run at the same time: a GPU's number, or None for the CPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip()] or [None] * at_once
    import torch

    return [str(number) for number in range(torch.cuda.device_count())] or [None] * at_once


def _start(sweep: Sweep, job: Job, mode: str, device: str | None) -> _Process | None:
    """Begin a trial, or go on with it; None where there is nothing to do."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the child inherits it, and keeps it until it ends
        except BlockingIOError:
            job.state = "elsewhere"
            return None
        if job.done:
            job.state = "skipped"
            return None
        job.state = "running"
        child = _open(_prepared(sweep, job, mode, log), log, device)
        return _Process(job, child, device, time.monotonic())


def _prepared(sweep: Sweep, job: Job, mode: str, log: IO[bytes]) -> list[str]:
    """The command that finishes a trial, from its last checkpoint if it has one."""
    command = command_of(sweep, job, mode)
    if (job.folder / run_folder.LAST).is_file():
        return [*command[:3], "train", "--resume", str(job.folder), "--wandb.mode", mode]
    shutil.rmtree(job.folder, ignore_errors=True)  # ended before its first checkpoint
    log.truncate(0)
    log.write(f"$ {shlex.join(command)}\n".encode())
    log.flush()
    return command


def _open(command: list[str], log: IO[bytes], device: str | None) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that Ctrl-C reaches it once, through us."""
    environment = dict(os.environ) | ({"CUDA_VISIBLE_DEVICES": device} if device else {})
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=log, stderr=log, env=environment, start_new_session=True)


def _ended(process: _Process) -> bool:
    """Whether a process has ended; if so, what became of its trial is written down."""
    job, status = process.job, process.child.poll()
    job.seconds = time.monotonic() - process.began
    if status is None:
        return False
    job.state = "done" if status == 0 and job.done else "failed"
    if job.state == "failed":
        lines = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        job.note = next((line for line in reversed(lines) if line.startswith(("error", "Error"))), lines[-1])[:200]
    return True


def _stop(running: Sequence[_Process]) -> None:
    """End children that still run, as Ctrl-C would."""
    for process in running:
        process.child.send_signal(signal.SIGINT)
    for process in running:
        try:
            process.child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.child.kill()
