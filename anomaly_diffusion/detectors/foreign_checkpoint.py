"""Checkpoints of another model: how their weights differ, in a line."""

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["ForeignCheckpoint", "differences"]


class ForeignCheckpoint(ValueError):
    """A checkpoint whose weights are those of another model, or of the same with other settings."""


def differences(there: Mapping[str, Any], module: nn.Module) -> str:
    """How the weights of a checkpoint differ from those of a model, in a line."""
    here = module.state_dict()
    other = [name for name in here if name in there and here[name].shape != there[name].shape]
    missing, unknown = [name for name in here if name not in there], [name for name in there if name not in here]
    shapes = (f"{name} is {_size(there[name])} there and {_size(here[name])} here" for name in other[:1])
    told = [*shapes, *(f"{name} is missing" for name in missing[:1]), *(f"{name} is unknown" for name in unknown[:1])]
    more = len(other) + len(missing) + len(unknown) - len(told)
    return f"The checkpoint is not of this {type(module).__name__}: {', '.join(told)}" + (
        f", and {more} more of its {len(here)} tensors differ." if more else "."
    )


def _size(tensor: Any) -> str:
    return " x ".join(map(str, getattr(tensor, "shape", ()))) or "a number"
