"""Images one by one, where a product of matrices may round by the number of its rows."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["one_by_one"]


def one_by_one(act: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What `act` makes of each image by itself, (B, ...); in a graph that is exported, whose B is any, of all at once.

    Args:
        act: from what belongs to one image to a tensor; of several it makes the same, with one dimension more in front.
        images: (B, ...).
    """
    if torch.compiler.is_exporting():
        return act(images)
    return torch.stack([act(image) for image in images])
