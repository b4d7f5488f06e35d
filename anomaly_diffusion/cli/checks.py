"""`checks`: what this machine has, in one table, for bug reports and for choosing where to train."""

import importlib.metadata
import importlib.util
import netrc
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from anomaly_diffusion import __version__
from anomaly_diffusion.cli import abilities

_PACKAGES = (
    "torch", "pytorch-lightning", "torchmetrics", "diffusers", "albumentations", "numpy", "scikit-image",
    "jsonargparse", "wandb", "transformers", "peft",
)  # fmt: skip
# where data and downloaded weights are looked for, and the default when the variable is not set
_VARIABLES = {
    "ANOMALY_DIFFUSION_DATA": "data sets are looked for in the current folder only",
    "ANOMALY_DIFFUSION_CACHE": "~/.cache/anomaly_diffusion/photographs",
    "ANOMALY_DIFFUSION_CACHE_GB": "10",
    "TORCH_HOME": "~/.cache/torch",
    "HF_HOME": "~/.cache/huggingface",
    "HF_HUB_OFFLINE": "0",
    "WANDB_MODE": "--wandb.mode",
}
_OWN_PREFIX = "ANOMALY_DIFFUSION_"
_GIB = 2**30
_HELP = """\
anomaly-diffusion checks: versions, processor, memory, GPU, disk and W&B of this machine; which baselines run on it.

usage: anomaly-diffusion checks [RUNS_DIR]     (default: runs)"""


def main(arguments: list[str]) -> int:
    """Print the table."""
    if {"-h", "--help"} & set(arguments):
        print(_HELP)
        return 0
    table = list(rows(Path(arguments[0] if arguments else "runs")))
    width = max(len(name) for name, _ in table)
    for name, value in table:  # never wrapped: some values are commands to be copied
        print(f"{name:<{width}}  {value}")
    return 0


def rows(runs: Path) -> Iterator[tuple[str, str]]:
    """Yield what there is to know, as name and value; `runs` is where runs would be written."""
    yield "anomaly-diffusion", __version__
    yield "python", f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield from ((package, _version(package)) for package in _PACKAGES)
    yield from _hardware()
    yield "disk", _disk(runs)
    yield "W&B", _wandb()
    yield from abilities.rows()
    yield from _variables()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _hardware() -> Iterator[tuple[str, str]]:
    import psutil
    import torch

    memory = psutil.virtual_memory()
    yield "CPU", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    yield "memory", f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free"
    if not torch.cuda.is_available():
        yield "GPU", f"none usable (torch is built for {torch.version.cuda or 'CPU only'})"
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        yield f"GPU {index}", f"{torch.cuda.get_device_name(index)}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"


def _disk(runs: Path) -> str:
    """Tell the free space of the runs folder, or of the nearest folder above it that exists."""
    existing = next(path for path in (runs.resolve(), *runs.resolve().parents) if path.exists())
    usage = shutil.disk_usage(existing)
    return f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB free for {runs}"


def _wandb() -> str:
    if importlib.util.find_spec("wandb") is None:
        return "not installed: use --wandb.mode disabled"
    account = "logged in" if _logged_in() else "not logged in, which offline runs do not need"
    return f"runs are offline unless --wandb.mode online; {account}"


def _logged_in() -> bool:
    """Whether an API key is at hand; no network is used, the key is not read further."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _variables() -> Iterator[tuple[str, str]]:
    for name, default in _VARIABLES.items():
        yield name, os.environ.get(name, f"unset ({default})")
    for name in sorted(os.environ):
        if name.startswith(_OWN_PREFIX) and name not in _VARIABLES:
            yield name, os.environ[name]
