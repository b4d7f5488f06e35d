"""How far something is that takes its time, on a terminal."""

import importlib.util
import logging
import time
from collections.abc import Iterator
from typing import TypeVar

__all__ = ["shown"]

Step = TypeVar("Step")

_log = logging.getLogger(__name__)
_SLOW = 2.0  # seconds after which a person wants to see that something goes on


def shown(results: Iterator[Step], total: int, task: str) -> Iterator[Step]:
    """Go through the results; where that takes longer than `_SLOW`, with a bar, or a line where there is no screen.

    Args:
        results: of so many steps.
        total: how many these are.
        task: what is being done, in words.
    """
    begin, done = time.monotonic(), 0
    while done < total and time.monotonic() - begin < _SLOW:
        yield next(results)
        done += 1
    if done == total:
        return
    if importlib.util.find_spec("rich"):  # which is not installed where exported files are judged and nothing else
        from rich import get_console
        from rich.progress import track

        if (console := get_console()).is_terminal:
            yield from track(results, task, total, completed=done, console=console, transient=True)
            return
    _log.info("%s: %d of %d after %.0f s.", task, done, total, time.monotonic() - begin)
    yield from results
