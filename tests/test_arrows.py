"""Who may import whom: the table of the house, held against the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import anomaly_diffusion

PACKAGE = Path(anomaly_diffusion.__file__).parent
SHARED = {"types", "names", "files", "settings", "verdict_records", "tiling"}
WIRED = SHARED | {"diffusion", "reconstruction", "codecs", "networks", "scoring"}
ALLOWED: dict[str, set[str]] = {
    **{room: set() for room in SHARED} | {"types": {"verdict_records", "tiling"}},
    **dict.fromkeys(("diffusion", "networks", "metrics", "data"), SHARED),
    "scoring": SHARED | {"networks"},
    "verdicts": {"types", "names", "metrics", "verdict_records"},
    "measures": {"types", "names", "metrics"},
    "reconstruction": {"types", "settings", "diffusion"},
    "codecs": {"types", "settings", "networks"},
    "detectors": WIRED,
    "baselines": WIRED | {"detectors"},
    "runs": SHARED | {"metrics"},
    "figures": {"types", "verdict_records", "names", "runs", "measures"},
    "callbacks": SHARED | {"metrics", "measures", "verdicts", "runs", "figures", "scoring"},
    "report": SHARED | {"runs", "figures", "measures"},
    "engine": SHARED | {"callbacks", "data", "detectors", "runs"},
    "deploy": SHARED
    | {"data", "detectors", "diffusion", "networks", "measures", "verdicts", "figures", "callbacks", "runs", "api"}
    | {"runtime"},
    "runtime": {"verdict_records", "tiling", "data", "verdicts", "deploy"},  # and no torch: test_no_torch
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


def wrong(path: Path) -> list[str]:
    """What a file imports and may not: relative names, and rooms that are not below its own."""
    names = list(imported(path))
    known = ALLOWED.get(room(path), set()) | {room(path), "__version__"}
    ours = [name for name in names if name.startswith("anomaly_diffusion.") and room(path) not in ANYTHING]
    return [name for name in names if name.startswith(".")] + [name for name in ours if name.split(".")[1] not in known]


def test_a_file_imports_only_from_the_rooms_below_its_own_and_absolutely():
    found = {path.relative_to(PACKAGE).as_posix(): names for path in FILES if (names := wrong(path))}
    assert found == {}


def test_every_room_has_its_line_in_the_table():
    assert {room(path) for path in FILES} <= ALLOWED.keys() | ANYTHING
