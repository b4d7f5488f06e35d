"""Buffers: of frozen networks, which no checkpoint holds, and of a size that is known only after learning."""

from hashlib import blake2b
from typing import Any, ClassVar

import torch
from torch import nn

__all__ = ["AnySize", "freeze", "identity"]


def freeze(network: nn.Module) -> None:
    """Turn all parameters and buffers into buffers that no checkpoint holds.

    An optimiser does not see them, a checkpoint does not grow by them, and one that was written without this network
    can be loaded into a detector that has it.
    """
    for module in network.modules():
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in tensors:
            delattr(module, name)
            module.register_buffer(name, tensor.detach(), persistent=False)
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False  # else it misses a count of batches in checkpoints that do not know it


def identity(network: nn.Module) -> dict[str, Any]:
    """Class, public settings and digest of the weights of a frozen network: what tells it from others, in few words."""
    digest = blake2b(digest_size=8)
    for tensor in network.buffers():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    chosen = {name: value for name, value in vars(network).items() if not name.startswith("_") and name != "training"}
    return {"class": type(network).__name__, **chosen, "weights": digest.hexdigest()}


class AnySize(nn.Module):
    """Takes some of its buffers from a state dict whatever their size is there: it follows from the images."""

    of_any_size: ClassVar[tuple[str, ...]] = ()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.of_any_size:
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.get_buffer(name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
