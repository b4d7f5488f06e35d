"""What several processes have found, brought together."""

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed

Item = TypeVar("Item")


def from_all_processes(items: Sequence[Item]) -> list[Item]:
    """The items of all processes, the first of each, then the second of each: as samplers deal images out."""
    if not torch.distributed.is_initialized():
        return list(items)
    gathered: list[list[Item]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(gathered, list(items))
    rounds = range(max(map(len, gathered)))
    return [items[place] for place in rounds for items in gathered if place < len(items)]
