"""Who may import whom: the table of the house, held against the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import anomaly_diffusion

PACKAGE = Path(anomaly_diffusion.__file__).parent
SHARED = {"types", "names", "files"}
WIRED = SHARED | {"diffusion", "reconstruction", "codecs", "networks", "scoring"}
ALLOWED: dict[str, set[str]] = {
    **{room: set() for room in SHARED},
    **dict.fromkeys(("diffusion", "networks", "metrics", "data"), SHARED),
    "scoring": SHARED | {"networks"},
    "measures": {"types", "names", "metrics"},
    "reconstruction": {"types", "diffusion"},
    "codecs": {"types", "networks"},
    "detectors": WIRED,
    "baselines": WIRED | {"detectors"},
    "runs": SHARED | {"metrics"},
    "figures": {"types", "names", "runs", "measures"},
    "callbacks": SHARED | {"metrics", "measures", "runs", "figures", "scoring"},
    "report": SHARED | {"runs", "figures", "measures"},
    "engine": SHARED | {"callbacks", "data", "detectors", "runs"},
    "api": SHARED | {"torchvision_import"} | {"data", "detectors", "engine", "runs", "cli"},
}
ANYTHING = {"cli", "__init__", "__main__", "torchvision_import"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules and objects that a file imports; a relative import starts with a dot."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_from_the_rooms_below_its_own(path):
    names = list(imported(path))
    rooms = {name.split(".")[1] for name in names if name.startswith("anomaly_diffusion.")}
    assert not [name for name in names if name.startswith(".")], "imports are absolute"
    assert room(path) in ANYTHING or rooms <= ALLOWED[room(path)] | {room(path), "__version__"}


def test_every_room_has_its_line_in_the_table():
    assert {room(path) for path in FILES} <= ALLOWED.keys() | ANYTHING
