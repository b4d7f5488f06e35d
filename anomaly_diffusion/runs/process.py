"""Facts about the running process that belong to a result."""

import os
import resource
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch


def command(arguments: Sequence[str]) -> str:
    """The command line that started this process, without the places of interpreter and program."""
    program = "python -m anomaly_diffusion" if arguments[0].endswith("__main__.py") else Path(arguments[0]).name
    return " ".join([program, *map(shlex.quote, arguments[1:])])


def seed() -> int | None:
    """The seed that Lightning has applied to this process, if any."""
    applied = os.environ.get("PL_GLOBAL_SEED")
    return None if applied is None else int(applied)


def peak_memory() -> dict[str, float | None]:
    """The most memory this process has held, and the most it has held on its GPU, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    return {"peak_memory_mb": host, "peak_gpu_memory_mb": gpu}
