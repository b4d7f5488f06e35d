"""Sorts runs into groups by their settings, and pairs the runs of two groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli import user_errors
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.pairing import ScoredImage, difference, paired_table, surprises

__all__ = ["by_setting", "paired_report"]

_IMAGES = "per_image.csv"
_UNSET = "not set"
_SHORT = 60  # characters of a setting's value in a name


def by_setting(folders: Sequence[Path], keys: Sequence[str]) -> dict[str, list[Path]]:
    """Runs by the values of some settings, such as model.init_args.noise; `experiment` stands for that of the run.

    Raises:
        UsageError: no run has one of the settings.
    """
    settings = {folder: _settings(folder) for folder in folders}
    for key in keys:
        if all(_value(settings[folder], folder, key) == _UNSET for folder in folders):
            known = sorted({name for has in settings.values() for name in _names(has)})
            hint = user_errors.closest(key, known)
            raise user_errors.UsageError(f"`group-by` must name a setting of the runs' config.yaml, got {key!r}.{hint}")
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        name = ", ".join(_value(settings[folder], folder, key) for key in keys)
        groups.setdefault(name, []).append(folder)
    return groups


def paired_report(groups: Mapping[str, Sequence[Path]], baseline: str | None) -> str:
    """Differences of each group from the baseline, and the images that differ most, as Markdown.

    Args:
        groups: runs by name of the group.
        baseline: name of a group; the first if not given.

    Raises:
        UsageError: there is no such group.
        ValueError: runs cannot be paired.
    """
    baseline = baseline or next(iter(groups))
    if baseline not in groups:
        raise user_errors.UsageError(
            f"`baseline` must be one of {', '.join(groups)}, got {baseline!r}.{user_errors.closest(baseline, groups)}"
        )
    scored = {name: _scored(name, runs) for name, runs in groups.items()}
    others = [name for name in groups if name != baseline]
    found, lines = {}, []
    for name in others:
        try:
            found[name] = difference(scored[name], scored[baseline])
        except ValueError as error:
            raise ValueError(f"{name} and {baseline} cannot be paired: {error}") from None
        better, worse = surprises(scored[name], scored[baseline])
        lines += [f"{name} judges better: {_listed(better)}", f"{name} judges worse: {_listed(worse)}"]
    return paired_table(found, baseline) + "\n" + "".join(f"- {line}\n" for line in lines)


def _scored(group: str, runs: Sequence[Path]) -> dict[str, list[ScoredImage]]:
    scored: dict[str, list[ScoredImage]] = {}
    for folder in runs:
        evaluation = run_folder.evaluation_of(folder)
        name = (evaluation[0] if evaluation else folder.resolve()).name
        if name in scored:
            raise ValueError(f"Group {group} has two runs called {name}. Group by more settings, or name fewer runs.")
        rows = files.read_table(folder / _IMAGES, ["path", "label", "score"])
        try:
            scored[name] = [ScoredImage(row["path"], row["label"] == "1", float(row["score"])) for row in rows]
        except ValueError as error:
            raise ValueError(f"{folder / _IMAGES} has a score that is no number: {error}.") from None
    return scored


def _listed(changes: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{path} ({change:+.2f})" for path, change in changes) or "none"


def _settings(folder: Path) -> dict[str, Any]:
    return files.read_mapping(folder / run_folder.CONFIG)


def _value(settings: Mapping[str, Any], folder: Path, key: str) -> str:
    """A setting in a word: of an object its class."""
    if key == "experiment":
        evaluation = run_folder.evaluation_of(folder)
        return (evaluation[0] if evaluation else folder.resolve()).parent.name
    value: Any = settings
    for part in key.split("."):
        value = value.get(part, _UNSET) if isinstance(value, dict) else _UNSET
    if isinstance(value, dict) and "class_path" in value:
        value = value["class_path"].rpartition(".")[2]
    return str(value)[:_SHORT]


def _names(settings: Mapping[str, Any], above: str = "") -> list[str]:
    """Dotted names of all settings."""
    names = []
    for name, value in settings.items():
        names.append(above + name)
        if isinstance(value, dict):
            names += _names(value, f"{above}{name}.")
    return names
