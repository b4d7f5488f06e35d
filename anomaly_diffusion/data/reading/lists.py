"""Lists of photographs: the rows of a CSV or Parquet file as words, each with its number."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

__all__ = ["LISTS", "Row", "read_list"]

LISTS = (".csv", ".parquet")
_SEPARATORS = ",;\t"
_INSTALL = "pyarrow is not installed. Run: pip install 'anomaly-diffusion[parquet]', or save the list as CSV"


@dataclass(frozen=True)
class Row:
    """A row of a list.

    Attributes:
        number: as a spreadsheet counts it, the heads being row 1; of a Parquet file the first record is 1.
        cells: what it says in each column, without spaces around it; "" where it says nothing.
    """

    number: int
    cells: Mapping[str, str]


def read_list(path: Path) -> tuple[list[str], list[Row]]:
    """Read the heads of a list and its rows; rows that say nothing are left out.

    Args:
        path: ends in .parquet, or is CSV in UTF-8, separated by commas, semicolons or tabs.

    Raises:
        ValueError: it is no such file, or a row has more cells than there are heads.
        ImportError: it is a Parquet file, and pyarrow is not installed.
    """
    heads, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    return heads, [row for row in rows if any(row.cells.values())]


def _csv(path: Path) -> tuple[list[str], list[Row]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        separator = max(_SEPARATORS, key=(lines[0] if lines else "").count)
        heads, *cells = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV in UTF-8: {error}. Save it as CSV UTF-8.") from None
    for number, row in enumerate(cells, start=2):
        if len(row) > len(heads):
            raise ValueError(
                f"{path}, row {number}: it has {len(row)} cells, but there are {len(heads)} columns. "
                "Put a cell that holds a separator into double quotes."
            )
    return heads, [Row(number, _by_head(heads, row)) for number, row in enumerate(cells, start=2)]


def _by_head(heads: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    return dict(zip(heads, [*cells, *[""] * (len(heads) - len(cells))], strict=True))


def _parquet(path: Path) -> tuple[list[str], list[Row]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ImportError(f"{path} is a Parquet file, and {_INSTALL}.") from None
    try:
        table = parquet.read_table(BytesIO(path.read_bytes()))
    except ArrowException as error:
        raise ValueError(f"{path} is no Parquet file: {error}") from None
    return list(table.column_names), list(_records(table.to_pylist()))


def _records(records: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for number, record in enumerate(records, start=1):
        yield Row(number, {str(head): _word(value) for head, value in record.items()})


def _word(value: object) -> str:
    """A value as a CSV file would have it: 1 for 1.0, as columns with gaps are of floats."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
