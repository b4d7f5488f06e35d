"""Files: results reach the disk whole or not at all, and what people may have edited is read with one clear message.

Names are such that every system accepts them, numbers such that every reader parses them.
"""

import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_LONGEST = 180  # bytes of a name, of the 255 that file systems allow


def write(path: Path, content: str | bytes) -> None:
    """Write a file and make its folder; a reader sees the old content or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(unfinished, path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON in which every number is finite; NaN and infinity become null, as the standard has neither."""
    write(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same value with every number that is not finite replaced by None, through mappings and lists."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item"):  # a number of numpy, which is not imported for that
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def safe_name(path: str) -> str:
    """Return a relative path as one file name that no other path has, without an ending if that was `.png`.

    "test/dent/7.png" becomes "test-dent-7", "test/dent/7.jpg" becomes "test-dent-7.jpg". Where path and name do not
    follow from each other, as with "test/big dent/7.png", eight digits of the path's hash tell it from its likes.
    """
    parts = [re.sub(r"[^\w.+-]+", "_", part) for part in re.split(r"[/\\]", path) if part not in ("", ".", "..")]
    legible = "-".join(parts).removesuffix(".png").lstrip(".")
    name = legible.encode()[-_LONGEST:].decode(errors="ignore") or "image"
    back = name.replace("-", "/") + ".png" * (re.search(r"\.[A-Za-z0-9]{1,5}$", name) is None)
    digest = hashlib.blake2b(path.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return name if back == path else f"{name}-{digest}"


def names_hash(names: Iterable[str]) -> str:
    """Sixteen digits that tell one set of names from another, whatever their order: the identity of a test set."""
    joined = "\0".join(sorted(names)).encode(errors="surrogatepass")
    return hashlib.blake2b(joined, digest_size=8).hexdigest()


def read_mapping(path: Path) -> dict[str, Any]:
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


def nested(content: Any, path: Path, *keys: str) -> dict[str, Any]:
    """The mapping under nested keys; nothing where a key is missing.

    Args:
        content: of the file, as `read_mapping` has read it.
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


def read_table(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
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


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Every setting that holds no others, under its whole name: `data.batch_size`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inside = flat(value, f"{above}{key}.") if isinstance(value, Mapping) and value else {f"{above}{key}": value}
        found |= inside
    return found
