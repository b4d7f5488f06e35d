"""Networks that never learn and that are loaded from elsewhere each time."""

from hashlib import blake2b
from typing import Any

import torch
from torch import nn

__all__ = ["freeze", "identity"]


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
