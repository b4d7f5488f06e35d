"""Which images are shown: decided by kind and place alone, never by how well the model did on them."""

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Even(Generic[Item]):
    """Evenly spaced items of a stream of unknown length, between `room` and twice as many."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.seen = 0
        self.stride = 1

    def offer(self, make: Callable[[], Item], room: int) -> None:
        if self.seen % self.stride == 0:
            self.items.append(make())
        self.seen += 1
        self.shrink(room)

    def shrink(self, room: int) -> None:
        while len(self.items) > 2 * room:
            self.items, self.stride = self.items[::2], 2 * self.stride

    def take(self, count: int) -> list[Item]:
        return [self.items[index * len(self.items) // count] for index in range(count)]


class DisplaySampler(Generic[Item]):
    """Chooses images from a stream: defective ones of every kind, spread evenly over each, and some normal ones.

    A quarter are normal ones if there are enough of both. Memory does not grow with the stream.

    Args:
        count: number of images to choose, at least 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"`count` must be at least 1, got {count}.")
        self.count = count
        self._normal: _Even[Item] = _Even()
        self._defects: dict[str, _Even[Item]] = {}

    def offer(self, kind: str, label: bool, make: Callable[[], Item]) -> None:
        """Consider an image; `make` is called only if it is kept for now."""
        if not label:
            return self._normal.offer(make, self.count)
        self._defects.setdefault(kind, _Even()).offer(make, self._room())
        for even in self._defects.values():
            even.shrink(self._room())
        return None

    def chosen(self) -> list[Item]:
        """The chosen ones, kind by kind, normal ones last."""
        normal = min(len(self._normal.items), self.count // 4 if self._defects else self.count)
        shares = self._shares(self.count - normal)
        normal = min(len(self._normal.items), self.count - sum(shares.values()))
        defects = [item for kind, share in shares.items() for item in self._defects[kind].take(share)]
        return defects + self._normal.take(normal)

    def _room(self) -> int:
        return -(-self.count // len(self._defects))

    def _shares(self, total: int) -> dict[str, int]:
        """How many of each kind: one of each in turn until `total` are given out."""
        shares = dict.fromkeys(self._defects, 0)
        total = min(total, sum(len(even.items) for even in self._defects.values()))
        for turn in range(total):
            for kind, even in self._defects.items():
                if shares[kind] == turn < len(even.items) and sum(shares.values()) < total:
                    shares[kind] += 1
        return shares
