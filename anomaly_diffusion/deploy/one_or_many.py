"""One photograph, a list of them, or a stream, for whoever judges a few at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from anomaly_diffusion.deploy.inspection import Inspection

__all__ = ["one_or_many"]


def one_or_many(image: Any, judge: Callable[[Sequence[Any]], list[Inspection]], at_once: int) -> Any:
    """What is said of a photograph; of a list or tuple a list, of an iterator an iterator.

    Args:
        image: one of these.
        judge: says it of some photographs.
        at_once: how many these are at most, and how far is read ahead in an iterator.
    """
    if isinstance(image, list | tuple):
        return list(_stream(image, judge, at_once))
    if isinstance(image, Iterator):
        return _stream(image, judge, at_once)
    return judge([image])[0]


def _stream(
    images: Iterable[Any], judge: Callable[[Sequence[Any]], list[Inspection]], at_once: int
) -> Iterator[Inspection]:
    rest = iter(images)
    while some := list(islice(rest, at_once)):
        yield from judge(some)
