"""The inspector of an exported file, whatever its format."""

from os import PathLike
from pathlib import Path

from anomaly_diffusion.names import EXPORTED
from anomaly_diffusion.runtime.inspector import ExportedInspector

__all__ = ["of_file"]


def of_file(
    path: str | PathLike[str],
    false_alarms: float | None = None,
    device: str = "cpu",
    batch_size: int = 4,
    category: str | None = None,
) -> ExportedInspector | None:
    """The inspector of a file .onnx or .pt2; None of anything else.

    Raises:
        ValueError: it is asked for on another device than the CPU, or for a category: a file judges one.
    """
    suffix = Path(path).suffix
    if suffix not in EXPORTED:
        return None
    if device != "cpu":
        raise ValueError(
            f'`device` must be "cpu" for an exported file, got {device}. A run folder can be judged there.'
        )
    if category is not None:
        raise ValueError(f"`category` must be left out for an exported file, which judges one, got {category}.")
    if suffix == ".onnx":
        return ExportedInspector(path, false_alarms, batch_size)
    from anomaly_diffusion.deploy.exporting.program_engine import ProgramEngine  # imports torch

    return ExportedInspector(ProgramEngine(path), false_alarms, batch_size)
