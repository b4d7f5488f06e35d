"""Libraries that only the baselines need, imported when they are first used: each of them takes seconds."""

import importlib
from typing import Any

__all__ = ["library"]


def library(name: str) -> Any:
    """The package `name`, without bars that tell the progress of reading files; those of downloads stay.

    Raises:
        ImportError: it is not installed.
    """
    try:
        package = importlib.import_module(name)
    except ImportError:
        raise ImportError(f"{name} is not installed. Run: pip install 'anomaly-diffusion[baselines]'") from None
    if name in ("diffusers", "transformers"):
        importlib.import_module(f"{name}.utils.logging").disable_progress_bar()
    return package
