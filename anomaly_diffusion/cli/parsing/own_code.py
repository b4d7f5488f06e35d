"""Classes of a user's own: `class_path: mine.Noise` is found in mine.py of the current folder."""

import importlib
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli.parsing import renamed
from anomaly_diffusion.cli.parsing.arguments import values
from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["import_described", "import_named"]

_DOTTED = re.compile(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w./-])")
_CLASS_PATH = re.compile(r"class_path['\"]?\s*[:=]\s*['\"]?(?P<path>[\w.]+)")


def import_named(arguments: Sequence[str]) -> None:
    """Import the modules of the current folder whose classes a command line or its configs name.

    Args:
        arguments: those of a Lightning verb, with every config as `--config FILE` or `--config=FILE`.

    Raises:
        UsageError: a module fails, which is told with its file and line, or is neither here nor installed.
    """
    configs = [Path(name) for flag in ("--config", "-c") for name in values(list(arguments), flag)]
    words = [word for word in arguments if not _is_file(word.rpartition("=")[2])]
    import_described([*words, *map(renamed.read, configs)])


def import_described(settings: Any) -> None:
    """Import the modules of the current folder whose classes settings name: mappings, lists and words of any depth.

    The folder is looked into behind all that is installed, by this process and by those that it starts.

    Raises:
        UsageError: as `import_named`.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    texts = list(_texts(settings))
    for name in dict.fromkeys(match[0] for text in texts for match in _DOTTED.finditer(text)):
        if _is_here(name.partition(".")[0]):
            _import(name.rpartition(".")[0])
    _refuse_absent(match["path"] for text in texts for match in _CLASS_PATH.finditer(text))


def _texts(value: Any, key: str = "") -> Iterator[str]:
    """Every text in settings; that of a class path with its key."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield f"class_path: {value}" if key == "class_path" else value


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # settings may be longer than any name
        return False


def _is_here(module: str) -> bool:
    return Path(f"{module}.py").is_file() or Path(module, "__init__.py").is_file()


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:
        raise UsageError(f"{_place(error)}: {type(error).__name__}: {_message(error)}") from error


def _place(error: Exception) -> str:
    """The file and the line of the current folder where a module fails."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())]
    return f"{_shown(ours[-1].filename)}, line {ours[-1].lineno}" if ours else "A module of this folder fails"


def _message(error: Exception) -> str:
    return str(error.msg if isinstance(error, SyntaxError) else error)


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _refuse_absent(paths: Iterable[str]) -> None:
    for path in dict.fromkeys(paths):
        module = path.partition(".")[0]
        if module != path and find_spec(module) is None:
            raise UsageError(
                f"`class_path` {path}: there is no module {module}, neither installed nor here in {Path.cwd()}. "
                f"Start the command in the folder that holds {module}.py."
            )
