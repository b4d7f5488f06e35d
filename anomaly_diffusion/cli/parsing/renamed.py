"""Names of before: configs that a user writes are refused with the new name, those of finished runs are translated.

A class that has only moved is found by its name, wherever it is now.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from anomaly_diffusion import files

__all__ = ["CLASSES", "GROUPS", "SETTINGS", "argument", "class_path", "read", "setting", "translated"]

CLASSES = {"Adversary": "PatchDiscriminator", "DenoisingStrips": "SamplingTrajectories"}
GROUPS = {"strips": "trajectories"}  # settings of the outermost level
_NORMALISED = {"level": "normalise_brightness"}
SETTINGS: dict[str, dict[str, str]] = {  # class as it is called now -> its arguments
    "Scoring": {"reach": "calibration_sigma"},
    "StableDiffusionDetector": {"round_trip": "against"},
    **dict.fromkeys(("FeatureDetector", "FeatureCodec", "GaussianByPosition", "InvAD", "PatchCore"), _NORMALISED),
}
_VALUES: dict[str, dict[Any, Any]] = {  # old name of a setting whose values are others now -> what they became
    "round_trip": {False: None, True: {"class_path": "anomaly_diffusion.codecs.latent.AgainstRoundTrip"}},
}
_PACKAGE = "anomaly_diffusion"
_WRITTEN_BY_US = "# anomaly-diffusion "  # how a run's config.yaml begins


def setting(name: str, owner: str = "") -> str | None:
    """What a setting is called now; None if it was never called otherwise.

    Args:
        name: of the setting alone, without those that hold it.
        owner: class of which it is an argument; nothing for the outermost level.
    """
    return SETTINGS.get(owner, {}).get(name) if owner else GROUPS.get(name)


def class_path(path: str) -> str | None:
    """Where a class of ours is now, and what it is called; None if it is where `path` says, or nowhere.

    Args:
        path: name of a class, with its module or without.
    """
    module, _, name = path.rpartition(".")
    if module and module.partition(".")[0] != _PACKAGE:
        return None
    new = CLASSES.get(name, name)
    if not module or module == _PACKAGE:  # found by its name alone, or a name that the package gives
        return f"{module}.{new}".lstrip(".") if new != name else None
    from anomaly_diffusion.cli import listing  # which reads every file of the package

    homes = [entry.module for entry in listing.all_classes() if entry.name == new]
    return f"{homes[0]}.{new}" if homes and (module not in homes or new != name) else None


def read(path: Path, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The settings in a config; those that a run has written down are given the names that hold now.

    Args:
        path: of the file.
        tell: is given what was translated, in one line.

    Raises:
        ValueError: it is no YAML.
    """
    content, changed = files.read_mapping(path), list[str]()
    with path.open(encoding="utf-8", errors="replace") as file:
        if file.readline().startswith(_WRITTEN_BY_US):
            content = translated(content, changed)
    if changed:
        tell(f"{path} is of an earlier version and read with the names of now: {', '.join(dict.fromkeys(changed))}.")
    return content


def argument(path: str, tell: Callable[[str], None]) -> str:
    """What the parser is to be given as a config: its path, or its settings if it is a run's with names of before."""
    content = read(Path(path), tell)
    return path if content == files.read_mapping(Path(path)) else yaml.safe_dump(content, sort_keys=False)


def translated(content: Mapping[str, Any], changed: list[str]) -> dict[str, Any]:
    """The same settings under the names that hold now; what was translated is added to `changed`."""
    return {_renamed(key, setting(key), changed): _inside(value, changed) for key, value in content.items()}


def _inside(value: Any, changed: list[str]) -> Any:
    if isinstance(value, list):
        return [_inside(item, changed) for item in value]
    if not isinstance(value, Mapping):
        return value
    return dict(_items(value, changed))


def _items(value: Mapping[str, Any], changed: list[str]) -> Iterator[tuple[str, Any]]:
    """The settings of one object."""
    path = value.get("class_path")
    moved = class_path(path) if isinstance(path, str) else None
    owner = str(moved or path).rpartition(".")[2]
    for key, item in value.items():
        if key == "class_path" and moved:
            changed.append(f"{path} as {moved}")
            yield key, moved
        elif key == "init_args" and isinstance(item, Mapping):
            yield key, dict(_setting(name, of, owner, changed) for name, of in item.items())
        else:
            yield key, _inside(item, changed)


def _setting(name: str, value: Any, owner: str, changed: list[str]) -> tuple[str, Any]:
    """One setting of an object of the class `owner`."""
    new = setting(name, owner)
    if new and name in _VALUES:
        value = _VALUES[name].get(value, value)
    return _renamed(name, new, changed), _inside(value, changed)


def _renamed(name: str, new: str | None, changed: list[str]) -> str:
    if new:
        changed.append(f"{name} as {new}")
    return new or name
