"""Rows a few at a time, or images one by one; in a graph that is exported, for any number of rows, all at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["in_parts", "one_by_one"]


def in_parts(rows: Tensor, most: int) -> Sequence[Tensor]:
    """The same rows, at most so many together, as more of them only take more memory.

    Args:
        rows: (N, ...).
        most: at least 1.
    """
    return (rows,) if torch.compiler.is_exporting() else rows.split(most)


def one_by_one(act: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What `act` makes of each image by itself, (B, ...): a product of matrices may round by the number of its rows.

    Args:
        act: from what belongs to one image to a tensor; of several it makes the same, with one dimension more in front.
        images: (B, ...).
    """
    if torch.compiler.is_exporting():
        return act(images)
    return torch.stack([act(image) for image in images])
