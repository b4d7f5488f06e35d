"""How far something is that takes its time, on a terminal."""

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

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
    console = _console()
    if console is not None and console.is_terminal:
        from rich.progress import track

        yield from track(results, task, total, completed=done, console=console, transient=True)
    else:
        _log.info("%s: %d of %d after %.0f s.", task, done, total, time.monotonic() - begin)
        yield from results


def _console() -> "Console | None":
    """What shows bars; nothing where rich is not installed, as exported files are judged without it."""
    try:
        from rich import get_console
    except ImportError:
        return None
    return get_console()
