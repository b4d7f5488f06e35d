"""Files that people may have edited, read with one message for whatever is wrong with them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["mapping", "settings", "table"]


def mapping(path: Path) -> dict[str, Any]:
    """The content of a YAML or JSON file; nothing if it is empty.

    Args:
        path: by its suffix JSON, or else YAML.

    Raises:
        ValueError: it is neither, or holds something else than keys with values.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{path} is no valid YAML: {error.problem}, line {line}.") from None
    except (ValueError, yaml.YAMLError, RecursionError, OverflowError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"{path} is no valid {kind}: {' '.join(str(error).split())[:160]}.") from None
    except (TypeError, KeyError, AttributeError) as error:  # a key that is a list, a date that is none
        raise ValueError(f"{path} is no valid YAML: {' '.join(str(error).split())[:160]}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path} must hold keys with values, got {type(content).__name__}.")
    return content


def settings(content: Any, path: Path, *keys: str) -> dict[str, Any]:
    """The mapping under nested keys; nothing where a key is missing.

    Args:
        content: of the file, as `mapping` has read it.
        path: of the file, for the message.
        *keys: from the outermost inwards.

    Raises:
        ValueError: there is something else.
    """
    found = content
    for place, key in enumerate(keys):
        found = found.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            name = ".".join(keys[: place + 1])
            raise ValueError(f"`{name}` in {path} must hold keys with values, got {type(found).__name__}.")
    return dict(found)


def table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file, by column.

    Args:
        path: of the file.
        columns: those it must have.

    Raises:
        ValueError: it is no table, has rows of different lengths, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table ({error}). Test the run again to write it anew.") from None
    if any(None in row or None in row.values() for row in rows):
        raise ValueError(f"{path} has lines of another length than its first. Test the run again to write it anew.")
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}. Test the run again to write it anew.")
    return rows
