"""Buffers whose size is known only when something has been learnt."""

from typing import Any, ClassVar

import torch
from torch import nn

__all__ = ["AnySize"]


class AnySize(nn.Module):
    """Takes some of its buffers from a state dict whatever their size is there: it follows from the images."""

    of_any_size: ClassVar[tuple[str, ...]] = ()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.of_any_size:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.get_buffer(name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
