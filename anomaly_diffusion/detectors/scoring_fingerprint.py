"""What an object was made of, as text: two that judge alike have the same."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["settings"]


def settings(value: Any) -> str:
    """Class and settings of `value` and of all it holds; training modes, devices and caches do not count."""
    if isinstance(value, Tensor):
        return str(value.tolist())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {settings(item)}" for key, item in value.items()) + "}"
    if isinstance(value, nn.ModuleList) or (isinstance(value, Sequence) and not isinstance(value, str)):
        return "[" + ", ".join(settings(item) for item in value) + "]"
    if isinstance(value, torch.device | torch.dtype) or not hasattr(value, "__dict__"):
        return repr(value)
    inside = vars(value) | (dict(value.named_children()) if isinstance(value, nn.Module) else {})
    public = {name: item for name, item in inside.items() if not name.startswith("_") and name != "training"}
    return type(value).__name__ + settings(public)
