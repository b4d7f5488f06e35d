"""`list`: what may be named in a config, read from the source by `ast`, so that nothing heavy is imported."""

import ast
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from anomaly_diffusion.cli.parsing.arguments import experiments_folder

# what a user calls a kind -> its base class; the base class is the one line to add for a new axis
KINDS = {
    "models": "Detector",
    "backbones": "Backbone",
    "codecs": "Codec",
    "features": "FeatureExtractor",
    "autoencoders": "Autoencoder",
    "references": "Against",
    "schedules": "Schedule",
    "parametrisations": "Parametrisation",
    "noises": "NoiseSource",
    "spectra": "Spectrum",
    "weightings": "Weighting",
    "samplers": "Sampler",
    "strategies": "Reconstruction",
    "depths": "Depths",
    "pulls": "Pull",
    "ends": "PathEnd",
    "residuals": "Residual",
    "poolings": "Pooling",
    "datasets": "AnomalyDataset",
}
_EXPERIMENTS = "experiments"
_HELP = f"""\
anomaly-diffusion list: what there is to choose from, each with the module it lives in.

usage: anomaly-diffusion list [KIND ...]

kinds: {", ".join([*KINDS, _EXPERIMENTS])}
Without a kind, all are listed. In a config the class name alone is enough, except for classes of `baselines`."""


@dataclass(frozen=True)
class Entry:
    """A class found in the source: where it is, what it extends, and the first line of its docstring."""

    name: str
    module: str
    bases: tuple[str, ...]
    summary: str


def main(arguments: list[str]) -> int:
    """Print the kinds asked for; 2 if there is no such kind."""
    if {"-h", "--help"} & set(arguments):
        print(_HELP)
        return 0
    unknown = [kind for kind in arguments if kind not in (*KINDS, _EXPERIMENTS)]
    if unknown:
        print(f"error: `{unknown[0]}` is no kind. Known: {', '.join([*KINDS, _EXPERIMENTS])}.", file=sys.stderr)
        return 2
    print("\n\n".join(_section(kind) for kind in arguments or [*KINDS, _EXPERIMENTS]))
    return 0


def members(base: str) -> list[Entry]:
    """Return the public classes that extend `base`, directly or not."""
    family = {base}
    while grown := {entry.name for entry in all_classes() if family & set(entry.bases)} - family:
        family |= grown
    return [entry for entry in all_classes() if entry.name in family - {base} and not entry.name.startswith("_")]


def class_names() -> list[str]:
    """Return the names of all listed classes."""
    return [entry.name for base in KINDS.values() for entry in members(base)]


def experiments() -> list[tuple[str, str]]:
    """Return the shipped configs, each with the question in its first comment."""
    folder = experiments_folder()
    files = sorted(folder.rglob("*.yaml"))
    return [(path.relative_to(folder.parent).as_posix(), _first_comment(path)) for path in files]


@cache
def all_classes() -> tuple[Entry, ...]:
    """Return every class of the package."""
    return tuple(entry for path in sorted(_package().rglob("*.py")) for entry in _read(path))


def _package() -> Path:
    return Path(__file__).resolve().parents[1]


def _read(path: Path) -> Iterator[Entry]:
    source = path.read_text(encoding="utf-8")
    if "\nclass " not in source:
        return
    module = ".".join(path.relative_to(_package().parent).with_suffix("").parts)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            bases = tuple(_last_name(base) for base in node.bases)
            yield Entry(node.name, module, bases, (ast.get_docstring(node) or "").partition("\n")[0])


def _last_name(node: ast.expr) -> str:
    """Return `C` of the base classes `C`, `module.C` and `C[T]`."""
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.lstrip("# ").removeprefix("Question: ") if line.startswith("#") else ""


def _section(kind: str) -> str:
    if kind == _EXPERIMENTS:
        rows = experiments()
    else:
        rows = [(entry.name, f"{entry.summary} [{entry.module.partition('.')[2]}]") for entry in members(KINDS[kind])]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([kind, *(_row(name, text, width) for name, text in rows)] if rows else [kind, "  none yet"])


def _row(name: str, text: str, width: int) -> str:
    columns = max(60, min(shutil.get_terminal_size().columns, 140))
    indent = " " * (width + 4)
    return textwrap.fill(text, columns, initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent) or f"  {name}"
