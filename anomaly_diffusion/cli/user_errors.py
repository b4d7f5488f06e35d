"""Turns what libraries say about a wrong command line into one line a user can act on."""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence

from anomaly_diffusion.cli.parsing import renamed

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
_KEY = re.compile(r'^(?P<indent> *)Parser key "(?P<key>[\w.]+)":', re.MULTILINE)
_ANY_OF = re.compile(r"^ *Subtypes: \[(?P<types>.*)\] *$", re.MULTILINE)
_ONE_OF = re.compile(r"Expected (?P<types>.+?)\.? Got value: (?P<value>.*)")
_PATH = re.compile(r"Expected a dot import path string:(?P<value>.*)")
_ABSTRACT = re.compile(r"Expected an instantiatable class, but (?P<name>\w+) is abstract")
_GIVEN = re.compile(r"^ *Given value: (?P<value>.*)$", re.MULTILINE)
_NESTED = re.compile(r"NestedArg\(key='(?P<key>[^']*)', val=(?P<value>.*)\)$")
_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? (?P<pid>[\d, ]+)\) (?P<how>.+?)\.? *$", re.MULTILINE)
_OUR_CLASS = re.compile(r"\banomaly_diffusion(\.\w+)+")
_NO_MODEL = re.compile(r"arguments are required: .*\bmodel\b")
_WORDS = {
    "NoneType": "null", "bool": "true or false", "int": "a whole number", "float": "a number", "str": "text",
    "list": "a list", "tuple": "a list", "dict": "a mapping", "Iterable": "a list", "Sequence": "a list",
}  # fmt: skip


class UsageError(ValueError):
    """The command line or a config is wrong; nothing has been run."""


def is_mistake(error: BaseException) -> bool:
    """Whether a user can mend it: a wrong value, file, option or missing package, not a bug of ours."""
    names = {cls.__name__ for cls in type(error).__mro__}
    known = {"ValueError", "OSError", "ImportError", "ArgumentError", "MisconfigurationException"}
    return bool(names & known) or any(told(error) is not None for told in (_killed, _full, _uncompiled))


def explain(error: BaseException, arguments: Sequence[str] = ()) -> str:
    """Return the error's own words in at most a dozen lines.

    Args:
        error: what ended the program.
        arguments: the command line, of which some may be to blame where memory is full.
    """
    told = _killed(error) or _full(error, arguments) or _uncompiled(error) or str(error) or type(error).__name__
    lines = plain(told).splitlines()
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


def _full(error: BaseException, arguments: Sequence[str] = ()) -> str | None:
    """What to say when memory is full: scoring halves its parts by itself, a training step cannot be cut in two."""
    if "torch" not in sys.modules and not isinstance(error, MemoryError):
        return None
    from anomaly_diffusion.detectors.micro_batching import is_out_of_memory

    text = plain(str(error))
    if not is_out_of_memory(error) and not is_out_of_memory(
        RuntimeError(text)
    ):  # which the parser or OpenCV has wrapped
        return None
    told = text.splitlines()[0] if text else "no more can be had"
    given = " ".join(arguments)
    return (
        f"Memory is full: {told}\n"
        + (
            "In training, halve data.batch_size and double trainer.accumulate_grad_batches: a step sees as many. "
            "Smaller data.image_size or model width, or --trainer.precision bf16-mixed, take less."
        )
        + (f"\nThis command asks for: {given}" if given else "")
    )


def _uncompiled(error: BaseException) -> str | None:
    """What to say when `torch.compile` cannot translate the network: no compiler is here, or its cache is torn."""
    if not {"TorchDynamoException", "InductorError"} & {cls.__name__ for cls in type(error).__mro__}:
        return None
    told = plain(str(error)).splitlines()[0]
    return (
        f"`acceleration.compile` must be false where the network cannot be compiled: {told}. "
        "It takes a C++ compiler, and a whole cache: empty TORCHINDUCTOR_CACHE_DIR if a run was killed at it."
    )


def plain(message: str) -> str:
    """Drop the parser's report on types that were not meant anyway."""
    if not _NOISE.search(message):
        return "\n".join(line.rstrip() for line in message.splitlines() if line.strip())
    lines = [line.strip() for line in message.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    return " ".join(re.sub(r"^- ", "", line) for line in lines)


def usage(message: str, known: Iterable[str]) -> UsageError:
    """Say which setting is wrong, what it must be, and what was probably meant.

    Args:
        message: what the parser says.
        known: the keys that the verb accepts.
    """
    for path in _OUR_CLASS.finditer(message):
        if new := renamed.class_path(path[0]):
            return UsageError(f"`{path[0]}` is called `{new}` now.")
    if found := _UNKNOWN_KEY.search(message):
        key = found["key"] or found["words"].split()[0].split("=")[0].lstrip("-")
        group, dot, rest = key.partition(".")
        if new := renamed.setting(group):
            return UsageError(f"`{key}` is called `{new}{dot}{rest}` now.")
        return UsageError(f"`{key}` is no known setting.{closest(key, known)}")
    if _NO_MODEL.search(message):
        return UsageError("No model is named. Add --config experiments/model/pixel.yaml")
    if found := _UNKNOWN_OPTION.search(message):
        paths = [match["path"] for match in _CLASS_PATH.finditer(message, 0, found.start())]
        return UsageError(_unknown_option(found["key"], paths[-1] if paths else ""))
    return UsageError(_refusal(message))


def _refusal(message: str) -> str:
    """What the innermost setting of a report of the parser must be, and what it is."""
    keys = _innermost(message)
    name, about = ".".join(key["key"] for key in keys), message[keys[-1].end() :] if keys else message
    if found := _ABSTRACT.search(about):
        return f"`{name}` must be a class that extends {found['name']}, not that itself. See: anomaly-diffusion list"
    reports = [report for form in (_ANY_OF, _ONE_OF, _PATH) if (report := form.search(about))]
    if not keys or not reports:
        own = " ".join(plain(about).split())
        return f"`{name}`: {own}" if keys else own
    report = min(reports, key=re.Match.start)
    types = [kind for kind in _split(report.groupdict().get("types", "")) if kind]
    value, is_path = _given(report, about)
    if is_path:
        name += ".class_path"
        types = [kind for kind in types if _last_name(kind) != "NoneType"]
    words = " or ".join(dict.fromkeys(map(_worded, types))) or "the name of a class"
    hint = _meant(value) if not types or any(map(_is_class, types)) else ""
    return f"`{name}` must be {words}, got {'null' if value == 'None' else value or 'nothing'}.{hint}"


def _given(report: re.Match[str], about: str) -> tuple[str, bool]:
    """The value that a report is about, and whether it stands for a class alone."""
    given, named = _GIVEN.search(about), _PATH.search(about)
    nested = _NESTED.search(given["value"]) if given else None
    of_class = nested is not None and nested["key"].endswith("class_path")
    if "value" in report.groupdict():
        return report["value"].strip(), of_class and report.re is _PATH
    if nested:
        return nested["value"].strip("'"), of_class
    value = given["value"].strip() if given else ""
    return (named["value"].strip() if named and "class_path" in value else value), False


def _innermost(message: str) -> list[re.Match[str]]:
    """The keys of a setting, from the outside in; each is further to the right than the one before."""
    found: list[re.Match[str]] = []
    for key in _KEY.finditer(message):
        if not found or len(key["indent"]) > len(found[-1]["indent"]):
            found.append(key)
    return found


def _split(types: str) -> list[str]:
    """The items of a list of types, which may hold lists."""
    return [item.strip() for item in re.split(r",\s*(?![^\[]*\])", types)]


def _last_name(kind: str) -> str:
    return kind.removeprefix("a ").removeprefix("<class '").removesuffix("'>").partition("[")[0].rpartition(".")[2]


def _is_class(kind: str) -> bool:
    name = _last_name(kind)
    return name[:1].isupper() and name not in (*_WORDS, "Literal")


def _worded(kind: str, several: bool = False) -> str:
    """A type in a user's words."""
    name, inside = _last_name(kind), kind.partition("[")[2].rstrip("]'> ")
    if name == "Literal":
        return f"one of {inside}".replace("'", "")
    if name in ("list", "tuple", "Sequence", "Iterable") and inside:
        return "a list of " + " or ".join(_worded(item, several=True) for item in _split(inside))
    if " " in name:  # more than a type: "tuple with 2 elements"
        return name.replace("tuple", "a list")
    word = _WORDS.get(name) or f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"
    return word.partition(" ")[2] + "s" if several and " " in word and not _is_class(kind) else word


def _meant(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*", value) or value == "None":
        return ""
    if new := renamed.class_path(value):
        return f" It is called {new} now."
    from anomaly_diffusion.cli import listing  # which needs the arguments, and those this module

    return closest(value, listing.class_names()) or " See: anomaly-diffusion list"


def closest(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean `...`?" if one of the known words is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean `{close[0]}`?" if close else ""


def _unknown_option(key: str, class_path: str) -> str:
    module, _, name = class_path.rpartition(".")
    if new := renamed.setting(key, name):
        return f"`{key}` of {name} is called `{new}` now."
    known = inspect.signature(getattr(importlib.import_module(module), name)).parameters if module else ()
    return f"`{key}` is no argument of {name or 'this class'}.{closest(key, known)}"
