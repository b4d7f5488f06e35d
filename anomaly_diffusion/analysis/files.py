"""How results reach the disk: whole or not at all, with names every system accepts and numbers every reader parses."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_diffusion.types import ImageBatch

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
    if isinstance(value, np.generic):
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


def kinds_of(batch: ImageBatch) -> list[str]:
    """Return the kind of each image: "good", or that of the defect, by its folder where the batch does not say."""
    kinds = batch.kind or [Path(path).parent.name or "defect" for path in batch.path]
    return [kind if label else "good" for kind, label in zip(kinds, batch.label.tolist(), strict=True)]
