"""What tests of the command line share."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Undo what commands do to the process: variables, the folder it works in, deterministic algorithms."""
    before, here = dict(os.environ), Path.cwd()
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
        torch.use_deterministic_algorithms(False)


def figures(folder: str | Path) -> list[float | None]:
    """A few of a run's figures, enough to tell whether two runs judge alike."""
    summary = json.loads((Path(folder) / "summary.json").read_text())
    return [summary[name] for name in ("image_auroc", "pixel_auroc", "aupro", "nfe")]
