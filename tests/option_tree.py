"""Every setting of the program with its edge values, found by asking the program itself."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from anomaly_diffusion.commands import listing

EDGES = ("0", "1", "-1", "1000000000", "null", "", "[]", "{}", "wrong", "nan")
OPTION = re.compile(r"^  --([\w.]+)", re.MULTILINE)
LONGEST = 15  # lines of a refusal

# where an object of each kind goes in a tiny run, and what it needs beside its defaults
PLACES = {
    "backbones": "model.init_args.backbone",
    "schedules": "model.init_args.schedule",
    "parametrisations": "model.init_args.parametrisation",
    "noises": "model.init_args.noise",
    "weightings": "model.init_args.objective.weighting",
    "strategies": "model.init_args.reconstruction",
    "poolings": "model.init_args.scoring.pooling",
    "datasets": "data.dataset",
}


class Case(NamedTuple):
    """One command line.

    Attributes:
        option: what is set, for instance `data.batch_size`.
        value: to what, as typed.
        words: the command line.
    """

    option: str
    value: str
    words: tuple[str, ...]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a config that holds no others, with its value."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, item in value.items():
        yield from leaves(item, f"{path}.{name}".lstrip("."))


def edges(value: Any) -> list[str]:
    """Edge values of a setting: of a list, also lists of as many edge values."""
    lists = [f"[{','.join([edge] * len(value))}]" for edge in EDGES[:4]] if isinstance(value, list) and value else []
    return [*EDGES, *lists]


def shape(said: str) -> str:
    """What is wrong with the way in which a command ended; nothing if it is as it should be."""


def settings(said: str) -> dict[str, Any]:
    """The config that `--print_config` has printed."""
    return dict(yaml.safe_load(said))


def listed() -> Iterator[tuple[str, str]]:
    """Place and name of every class that has a place in a tiny run."""
    for kind, place in PLACES.items():
        yield from ((place, entry.name) for entry in listing.members(listing.KINDS[kind]))
