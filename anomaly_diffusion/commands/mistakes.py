"""Turns what libraries say about a wrong command line into one line a user can act on."""

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable

from anomaly_diffusion.commands import listing

_LONGEST = 12  # lines
_WIDEST = 400  # characters
_NOISE = re.compile(
    r"((- )?Does not validate against any of the Union subtypes|Subtypes: |Errors:|- Expected a <class 'NoneType'>"
    r"|Given value( type)?: |Validation failed:?$)"
)
_UNKNOWN_KEY = re.compile(
    r"Subcommand '\w+' does not accept option '(?P<key>[^']+)'|unrecognized arguments: (?P<words>.+)"
)
_UNKNOWN_OPTION = re.compile(r"Option '(?P<key>[^']+)' is not accepted")
_CLASS_PATH = re.compile(r"Problem with given class_path '(?P<path>[^']+)'")
_UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (?P<name>[\w.]+)")
_WRAPPING = re.compile(r"a <class '(?P<type>[\w.]+)'>|a typing\.|Problem with given class_path '[^']+':")
_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? (?P<pid>[\d, ]+)\) (?P<how>.+?)\.? *$", re.MULTILINE)
_NO_MODEL = re.compile(r"arguments are required: .*\bmodel\b")


class UsageError(ValueError):
    """The command line or a config is wrong; nothing has been run."""


def is_mistake(error: BaseException) -> bool:
    """Whether a user can mend it: a wrong value, file, option or missing package, not a bug of ours."""
    names = {cls.__name__ for cls in type(error).__mro__}
    known = {"ValueError", "OSError", "ImportError", "ArgumentError", "MisconfigurationException"}
    return bool(names & known) or _killed(error) is not None or _full(error) is not None


def explain(error: BaseException) -> str:
    """Return the error's own words, without what the parser wraps around them, in at most a dozen lines."""
    lines = plain(_killed(error) or _full(error) or str(error) or type(error).__name__).splitlines()
    if len(lines) > _LONGEST:
        lines = [*lines[:_LONGEST], f"... and {len(lines) - _LONGEST} more lines"]
    return "error: " + "\n".join(line[:_WIDEST] for line in lines)


def _killed(error: BaseException) -> str | None:
    """What to say when a process that loads images was killed; torch raises that wherever the program happens to be."""
    found = _KILLED.search(str(error)) if isinstance(error, RuntimeError) else None
    return found and (
        f"A process that loads images (pid {found['pid']}) {found['how']}. Mostly memory has run out: lower "
        "data.loading.num_workers, data.loading.cache_mb or data.batch_size. What was finished is on disk."
    )


def _full(error: BaseException) -> str | None:
    """What to say when memory is full: scoring halves its parts by itself, a training step cannot be cut in two."""
    if not isinstance(error, RuntimeError | MemoryError):
        return None
    from anomaly_diffusion.detectors.parts import is_out_of_memory

    if not is_out_of_memory(error):
        return None
    told = str(error).splitlines()[0] if str(error) else "no more can be had"
    return f"Memory is full: {told}\n" + (
        "In training, halve data.batch_size and double trainer.accumulate_grad_batches: a step sees as many images. "
        "Smaller data.image_size or model width, or --trainer.precision bf16-mixed, take less."
    )


def plain(message: str) -> str:
    """Drop the parser's report on types that were not meant anyway."""
    if not _NOISE.search(message):
        return "\n".join(line.rstrip() for line in message.splitlines() if line.strip())
    lines = [line.strip() for line in message.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    return " ".join(re.sub(r"^- ", "", line) for line in lines)


def usage(message: str, known: Iterable[str]) -> UsageError:
    """Say which key is wrong, and which one was probably meant.

    Args:
        message: what the parser says.
        known: the keys that the verb accepts.
    """
    if found := _UNKNOWN_KEY.search(message):
        key = found["key"] or found["words"].split()[0].split("=")[0].lstrip("-")
        return UsageError(f"`{key}` is no known setting.{closest(key, known)}")
    if _NO_MODEL.search(message):
        return UsageError("No model is named. Add --config experiments/model/pixel.yaml")
    if found := _UNKNOWN_CLASS.search(message):
        name = found["name"]
        hint = closest(name, listing.class_names()) or " See: anomaly-diffusion list"
        return UsageError(f"`{name}` is no known class.{hint}")
    if found := _UNKNOWN_OPTION.search(message):
        paths = [match["path"] for match in _CLASS_PATH.finditer(message, 0, found.start())]
        return UsageError(_unknown_option(found["key"], paths[-1] if paths else ""))
    text = re.sub(
        r"a <class '([\w.]+)'>|a typing\.|Problem with given class_path '[^']+':",
        lambda match: match[1] or "",
        plain(message),
    )
    return UsageError(" ".join(re.sub(r'Parser key "([\w.]+)":', r"`\1`:", text).split()))


def closest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean `...`?" if one of the known words is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean `{close[0]}`?" if close else ""


def _unknown_option(key: str, class_path: str) -> str:
    module, _, name = class_path.rpartition(".")
    known = inspect.signature(getattr(importlib.import_module(module), name)).parameters if module else ()
    return f"`{key}` is no argument of {name or 'this class'}.{closest(key, known)}"
