"""Reads the command line of the Lightning verbs before torch is imported: which files, which earlier run."""

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli.parsing import renamed
from anomaly_diffusion.cli.user_errors import UsageError
from anomaly_diffusion.runs import run_folder

TRAINING = ("fit", "train")
_CONFIG_FLAGS = ("--config", "-c")
_ROLES = ("model", "data")


@dataclass(frozen=True)
class Request:
    """One command line, understood.

    Attributes:
        verb: fit, train, validate, test or predict.
        arguments: what the parser of the verb is to read.
        experiment: name of the experiment unless the arguments tell another.
        source: folder of an earlier run that is resumed or evaluated.
        help_full: whether every setting is to be explained, and nothing run.
        changes: names of the configs that an evaluation puts on top of its run's.
        given: settings that the user names, on the command line and in configs, as `model.backbone.width`.
    """

    verb: str
    arguments: list[str]
    experiment: str
    source: Path | None = None
    help_full: bool = False
    changes: str = ""
    given: frozenset[str] = frozenset()


def prepare(verb: str, arguments: list[str], tell: Callable[[str], None] | None = None) -> Request:
    """Find the files that the arguments name, and put the settings of an earlier run in front of them.

    Args:
        verb: fit, train, validate, test or predict.
        arguments: what follows it.
        tell: is given what is worth knowing; a line each on stderr if None.

    Raises:
        FileNotFoundError: if a config, run or checkpoint does not exist.
        ValueError: if a config is no YAML, or an option belongs to another verb.
        UsageError: if a config changes a model that is named later or not at all, or overrules an option before it.
    """
    arguments, help_full = [word for word in arguments if word != "--help_full"], "--help_full" in arguments
    arguments = list(_with_configs(arguments, located_configs))
    configs = [Path(value) for flag in _CONFIG_FLAGS for value in values(arguments, flag)]
    contents = {path: renamed.read(path) for path in configs}  # names file and line of what is no YAML
    _check_places(arguments, contents)
    options = [word.partition("=")[0].lstrip("-") for word in arguments if word.startswith("--")]
    arguments, source = (_resumed if verb in TRAINING else _evaluated)(arguments)
    if source is None and not any(word.partition("=")[0] in ("--model", "--model.class_path") for word in arguments):
        _check_order(contents)
    for line in overruled(contents):
        (tell or _note)(line)
    if source is not None and (source / run_folder.CONFIG).is_file():
        arguments = ["--config", str(source / run_folder.CONFIG), *arguments]
    arguments = list(_with_configs(arguments, lambda path: [renamed.argument(path, tell or _note)]))
    changes = "-".join(path.stem for path in configs)
    given = frozenset(map(_plain_name, [key for content in contents.values() for key in files.flat(content)] + options))
    return Request(verb, arguments, experiment_name(configs), source, help_full, changes, given)


def experiments_folder() -> Path:
    """Return the folder of shipped experiments: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "experiments"
    return inside if inside.is_dir() else package.parent / "experiments"


def experiment_name(configs: list[Path]) -> str:
    """Name an experiment after its configs, model first, then data, then the rest: `pixel-tile-flow_prediction`."""
    ranks = {role: rank for rank, role in enumerate(_ROLES)}
    ordered = sorted(configs, key=lambda path: ranks.get(path.parent.name, len(_ROLES)))
    return "-".join(path.stem for path in ordered if path.stem != "base") or "default"


def located_configs(names: str) -> list[str]:
    """Return the path of a config, or of several whose names stand side by side: `model/pixel.yaml,data/tile.yaml`."""
    return [locate_config(name) for name in ([names] if Path(names).is_file() else names.split(","))]


def locate_config(name: str) -> str:
    """Return the path of a config that lies here or in the shipped experiments folder.

    Raises:
        FileNotFoundError: if it lies in neither.
    """
    shipped = experiments_folder()
    for path in (Path(name), shipped / name, shipped.parent / name):
        if path.is_file():
            return str(path)
    known = sorted(str(path.relative_to(shipped.parent)) for path in shipped.rglob("*.yaml"))
    by_stem = {Path(path).stem: path for path in known}
    close = difflib.get_close_matches(name, known, n=1) or [
        by_stem[stem] for stem in difflib.get_close_matches(Path(name).stem, by_stem, n=1)
    ]
    hint = f"Did you mean {close[0]}?" if close else "See: anomaly-diffusion list experiments"
    raise FileNotFoundError(f"The config {name} does not exist. {hint}")


def values(arguments: list[str], flag: str) -> list[str]:
    """Return every value given to `flag`, as `flag value` or `flag=value`."""
    pairs = zip(arguments, [*arguments, ""][1:], strict=True)
    return [
        following if word == flag else word.split("=", 1)[1]
        for word, following in pairs
        if word == flag or word.startswith(f"{flag}=")
    ]


def _check_order(contents: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse a config that changes a model before one is named: a later one would put its own in its place."""
    naming = [path for path, content in contents.items() if _names_model(content)]
    for path, content in contents.items():
        if path in naming[:1]:
            return
        if content.get("model"):
            model = naming[0] if naming else experiments_folder() / "model" / "pixel.yaml"
            raise UsageError(
                f"{path.name} changes a model, but no --config before it names one. The order: "
                f"--config {_shown(model)} --config {_shown(path)}"
            )


def _names_model(content: Mapping[str, Any]) -> bool:
    model = content.get("model")
    return isinstance(model, str) or (isinstance(model, Mapping) and "class_path" in model)


def _shown(path: Path) -> str:
    """A shipped config as it is usually named."""
    shipped = experiments_folder()
    return str(path.relative_to(shipped.parent)) if path.is_relative_to(shipped) else str(path)


def _check_places(arguments: list[str], contents: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse an option that stands before a config which sets the same: the config would win."""
    options: dict[str, str] = {}
    expecting = False
    for word in arguments:
        flag, _, value = word.partition("=")
        if expecting or (flag in _CONFIG_FLAGS and value):
            path = Path(word if expecting else value)
            for option, name in options.items():
                if any(_same(name, _plain_name(key)) for key in files.flat(contents[path])):
                    raise UsageError(
                        f"`{option}` stands before --config {path}, which sets it too: name it after that."
                    )
        elif flag.startswith("--"):
            options[flag] = _plain_name(flag.lstrip("-"))
        expecting = not expecting and word in _CONFIG_FLAGS


def overruled(contents: Mapping[Path, Mapping[str, Any]]) -> Iterator[str]:
    """Say which settings of a config are others in a later one, which counts; a line for each such pair of configs."""
    configs = {path: files.flat(content) for path, content in contents.items()}
    for place, (path, settings) in enumerate(configs.items()):
        for later, others in list(configs.items())[place + 1 :]:
            both = [key for key in settings if key in others and settings[key] != others[key]]
            names = dict.fromkeys(map(_plain_name, both))
            kept = [name for name in names if not any(name.startswith(f"{above}.") for above in names)]
            if kept:
                yield f"{later.name} overrules {path.name} in {', '.join(kept)}."


def _note(line: str) -> None:
    """Tell something that is no result: beside the output, which may be a config that is read again."""
    print(line, file=sys.stderr, flush=True)


def _same(first: str, second: str) -> bool:
    """Whether one of two settings is the other, or holds it."""
    return first == second or first.startswith(f"{second}.") or second.startswith(f"{first}.")


def _plain_name(name: str) -> str:
    """The name of a setting without what only says how it is nested."""
    return ".".join(part for part in name.split(".") if part not in ("init_args", "class_path"))


def _with_configs(arguments: list[str], change: Callable[[str], list[str]]) -> Iterator[str]:
    """The arguments with each config replaced by what `change` makes of it."""
    expecting = False
    for word in arguments:
        flag, separator, value = word.partition("=")
        if expecting:
            first, *others = change(word)
            yield first
            yield from (f"{_CONFIG_FLAGS[0]}={path}" for path in others)
        elif separator and flag in _CONFIG_FLAGS:
            yield from (f"{flag}={path}" for path in change(value))
        else:
            yield word
        expecting = not expecting and word in _CONFIG_FLAGS


def _take(arguments: list[str], flag: str) -> tuple[list[str], str | None]:
    """Remove `flag` and its value from the arguments."""
    found = values(arguments, flag)
    kept: list[str] = []
    skip = False
    for word in arguments:
        if not skip and word != flag and not word.startswith(f"{flag}="):
            kept.append(word)
        skip = not skip and word == flag
    if found and not found[-1]:
        raise ValueError(f"`{flag}` must be followed by a value.")
    return kept, found[-1] if found else None


def _runs(arguments: list[str]) -> Path:
    return Path((values(arguments, "--runs_dir") or ["runs"])[-1])


def _resumed(arguments: list[str]) -> tuple[list[str], Path | None]:
    """Turn `--resume FOLDER` into the newest whole checkpoint of that run; before the first one, begin it again."""
    if values(arguments, "--run_folder"):
        raise ValueError("`--run_folder` is for validate, test and predict; go on with a run by --resume FOLDER.")
    arguments, name = _take(arguments, "--resume")
    if name is None:
        return arguments, None
    folder = run_folder.find(name, _runs(arguments))
    path = run_folder.to_resume(folder)
    if path is None:
        _note(f"{folder} holds no checkpoint yet: the run begins again.")
        return arguments, folder
    _note(f"Going on from {path}")
    return [*arguments, "--ckpt_path", str(path)], folder


def _evaluated(arguments: list[str]) -> tuple[list[str], Path | None]:
    """Turn `--run_folder FOLDER`, or a checkpoint within one, into a checkpoint and the folder it belongs to."""
    if values(arguments, "--resume"):
        raise ValueError("`--resume` is for fit and train; name the run to evaluate by --run_folder FOLDER.")
    arguments, name = _take(arguments, "--run_folder")
    arguments, file = _take(arguments, "--ckpt_path")
    if name is not None:
        folder = run_folder.find(name, _runs(arguments))
        named = {"best": (run_folder.BEST,), "last": (run_folder.LAST,), None: (run_folder.BEST, run_folder.LAST)}
        path = run_folder.checkpoint(folder, *named[file]) if file in named else _checkpoint_file(str(file))
        return [*arguments, "--ckpt_path", str(path)], folder
    if file is None:
        return arguments, None
    path = _checkpoint_file(file)
    folder = Path(os.path.relpath(path.resolve().parents[1]))
    return [*arguments, "--ckpt_path", str(path)], folder if (folder / run_folder.CONFIG).is_file() else None


def _checkpoint_file(name: str) -> Path:
    if not Path(name).is_file():
        raise FileNotFoundError(f"`--ckpt_path` must be a checkpoint, but there is no file {name}.")
    return Path(name)
