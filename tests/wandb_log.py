"""Reads the file that an offline W&B run leaves: frames of a LevelDB log around W&B's own messages."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_BLOCK = 32768  # bytes; no frame crosses the end of a block
_FRAME = struct.Struct("<IHB")  # checksum, length, kind: whole, first, middle or last
_WHOLE, _FIRST, _LAST = 1, 2, 4
_START = 7  # bytes of the file's own head


@dataclass
class LoggedRun:
    """What a run told W&B.

    Attributes:
        run: the fields of the run: id, group, tags, job type, name.
        config: setting -> value.
        history: one dictionary per logged step; pictures and tables are dictionaries that name a file.
    """

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def all_of(self, key: str) -> list[Any]:
        """The values of a key, in the order in which they were logged."""
        return [step[key] for step in self.history if key in step]


def read(path: Path) -> LoggedRun:
    """Return all that a `.wandb` file holds."""
    found = LoggedRun()
    for message in _messages(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(message)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= _values(record.run.config.update)
        elif kind == "config":
            found.config |= _values(record.config.update)
        elif kind == "history":
            found.history.append(_values(record.history.item))
    return found


def _values(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        *folders, name = item.nested_key or [item.key]
        place = values
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = json.loads(item.value_json)
    return values


def _messages(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    place, parts = _START, b""
    while place + _FRAME.size <= len(content):
        if _BLOCK - place % _BLOCK < _FRAME.size:  # too little room for a frame: the rest of the block is empty
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = _FRAME.unpack_from(content, place)
        place += _FRAME.size
        part = content[place : place + length]
        place += length
        parts = part if kind in (_WHOLE, _FIRST) else parts + part
        if kind in (_WHOLE, _LAST):
            yield parts
