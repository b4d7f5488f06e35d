"""Photographs named by a list: a CSV or Parquet file that says of each what it shows and what it is for."""

import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from anomaly_diffusion.data.reading.lists import LISTS, Row, read_list
from anomaly_diffusion.data.reading.remote import located
from anomaly_diffusion.data.sample import DATA_VARIABLE, GOOD, AnomalyDataset, Sample, find_root
from anomaly_diffusion.data.split import held_out

__all__ = ["Tabular"]

_log = logging.getLogger(__name__)
_COLUMNS = ("path", "label", "split", "mask", "kind", "category")
_ALSO = {"image_path": "path", "mask_path": "mask"}  # what anomalib calls them
_LABELS = {
    **dict.fromkeys(("good", "normal", "ok", "0", "false"), False),
    **dict.fromkeys(("defective", "anomalous", "abnormal", "bad", "1", "true"), True),
}
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_DEFECT = "defect"
_SHARE = 0.2  # of the good photographs are tested on where no column says which
_TOLD = 8  # rows


class Tabular(AnomalyDataset):
    """A list with the columns path and label, and, as far as they are known, split, mask, kind and category.

    Paths are absolute, URLs, or relative to the list. `label` is good or defective (also 0, normal, ok; 1, anomalous,
    bad), `split` train, validation or test; only good photographs are learnt from. Without that column a fixed fifth of
    the good ones of each category, and all defective ones, are tested on. Defective photographs without a mask count
    for image figures only. Columns of other names are left alone.

    Args:
        root: the list, ending in .csv or .parquet, or the folder that holds it under the name samples.csv or
            samples.parquet.
        category: only photographs of this category; of several, they are numbered in this order; None: all, by name.
        white_level: value of a 16-bit photograph that is shown as white.
    """

    def __init__(
        self, root: str | Path = "samples.csv", category: str | list[str] | None = None, white_level: int = 65535
    ) -> None:
        super().__init__(root, white_level)
        if category == []:
            raise ValueError("`category` must name at least one of the list, or be null, got [].")
        self.category = [category] if isinstance(category, str) else category

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether it is a list, or a folder with one under the name samples."""
        return _is_list(root) if root.is_file() else any(_lists_in(root))

    @cached_property
    def folder(self) -> Path:
        """Return the folder that holds the list."""
        return self.file.parent

    @cached_property
    def file(self) -> Path:
        """Return the list.

        Raises:
            FileNotFoundError: if there is none.
        """
        if not _is_list(self.root):
            found = list(_lists_in(find_root(self.root)))
            if not found:
                raise FileNotFoundError(
                    f"`root` must be a list that ends in {' or '.join(LISTS)}, or a folder with samples.csv, "
                    f"but {find_root(self.root)} holds none."
                )
            return found[0]
        base = os.environ.get(DATA_VARIABLE)
        places = [self.root, *([located(base) / self.root] if base and not self.root.is_absolute() else [])]
        for place in places:
            if place.is_file():
                return place
        raise FileNotFoundError(f"`root` must be a list, but there is none at {' nor '.join(map(str, places))}.")

    def train_samples(self) -> list[Sample]:
        """Return the good photographs for training.

        Raises:
            ValueError: naming every row that cannot be understood, and how to mend it.
        """
        return self._by_split["train"]

    def validation_samples(self) -> list[Sample]:
        """Return the good photographs that the list keeps for validation."""
        return self._by_split["validation"]

    def test_samples(self) -> list[Sample]:
        """Return the photographs to test on."""
        return self._by_split["test"]

    def places(self) -> list[Path]:
        """Return the folders of the photographs and of the masks, as others beside the list may hold anything."""
        files = [
            file for samples in self._by_split.values() for one in samples for file in (one.path, one.mask) if file
        ]
        folders = sorted({file.parent for file in files} - {self.folder})
        return [one for one in folders if not any(above in folders for above in one.parents)]

    @cached_property
    def categories(self) -> list[str]:
        """Return the names of the categories, by the numbers of samples."""
        named = sorted({row.cells.get("category", "") for row in self._rows})
        if self.category is None:
            return named
        if absent := [name for name in self.category if name not in named]:
            hint = f"{self.file} has: {', '.join(filter(None, named)) or 'no column category'}."
            raise ValueError(f"`category` must be in the list, got {', '.join(absent)}. {hint}")
        return self.category

    @property
    def category_names(self) -> tuple[str, ...]:
        """Return the categories; nothing where the list has no such column."""
        return tuple(filter(None, self.categories))

    @cached_property
    def _by_split(self) -> dict[str, list[Sample]]:
        chosen = [row for row in self._rows if row.cells.get("category", "") in self.categories]
        splits: dict[str, list[Sample]] = {"train": [], "validation": [], "test": []}
        for row in chosen:
            sample = self._sample(row)
            splits[_SPLITS.get(row.cells.get("split", "").casefold(), "test" if sample.label else "train")].append(
                sample
            )
        return splits if any("split" in row.cells for row in chosen) else self._with_tests(splits)

    def _with_tests(self, splits: dict[str, list[Sample]]) -> dict[str, list[Sample]]:
        """Keep good photographs of each category for testing."""
        kept: set[str] = set()
        for number in range(len(self.categories)):
            names = {self.name(one): one.path for one in splits["train"] if one.category == number}
            kept |= set(held_out(names, max(1, round(_SHARE * len(names))), "test", left=4))
        _log.info("%d of %d good photographs of the list are kept for testing.", len(kept), len(splits["train"]))
        good = {keep: [one for one in splits["train"] if (self.name(one) in kept) == keep] for keep in (True, False)}
        return {**splits, "train": good[False], "test": good[True] + splits["test"]}

    @cached_property
    def _rows(self) -> list[Row]:
        """The rows under our names of columns, each of them sound.

        Raises:
            ValueError: naming all others.
        """
        heads, rows = read_list(self.file)
        _check_heads(self.file, [_ALSO.get(head, head) for head in heads])
        rows = [Row(row.number, {_ALSO.get(head, head): word for head, word in row.cells.items()}) for row in rows]
        problems = list(self._problems(rows))
        if problems:
            more = [f"... and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
            raise ValueError("\n  ".join([f"{self.file} cannot be used:", *problems[:_TOLD], *more]))
        if not rows:
            raise ValueError(f"{self.file} must list photographs, but has no row below its heads.")
        return rows

    def _problems(self, rows: Sequence[Row]) -> Iterator[str]:
        first: dict[str, int] = {}
        categories = any(row.cells.get("category") for row in rows)
        for row in rows:
            twice = first.setdefault(row.cells["path"], row.number)
            if row.cells["path"] and twice != row.number:
                yield f"row {row.number}: {row.cells['path']} stands in row {twice} already. Delete one of the two."
            elif categories and not row.cells.get("category"):
                yield f"row {row.number}: `category` is empty, but other rows have one. Fill it in."
            elif problem := _problem(row) or self._absent(row):
                yield f"row {row.number}: {problem}"

    def _absent(self, row: Row) -> str:
        for column in ("path", "mask"):
            if (word := row.cells.get(column)) and not self._path(word).is_file():
                return f"`{column}` must be a file, but there is none at {self._path(word)}."
        return ""

    def _sample(self, row: Row) -> Sample:
        label, mask = _LABELS[row.cells["label"].casefold()], row.cells.get("mask")
        kind = (row.cells.get("kind") or _DEFECT) if label else GOOD
        number = self.categories.index(row.cells.get("category", ""))
        return Sample(self._path(row.cells["path"]), label, self._path(mask) if mask else None, kind, number)

    def _path(self, word: str) -> Path:
        path = located(word.replace("\\", "/"))
        return path if path.is_absolute() else self.folder / path


def _is_list(path: Path) -> bool:
    return path.suffix.lower() in LISTS


def _lists_in(folder: Path) -> Iterator[Path]:
    return (path for ending in LISTS if (path := folder / f"samples{ending}").is_file())


def _check_heads(file: Path, heads: Sequence[str]) -> None:
    """Refuse a list without what every row must say, with a column twice, or with one whose name is misspelt."""
    for column in ("path", "label"):
        if column not in heads:
            meant = difflib.get_close_matches(column, heads, n=1)
            hint = f" Is it called {meant[0]!r}?" if meant else ""
            raise ValueError(f"{file} must have a column `{column}` in its first row, got {', '.join(heads)}.{hint}")
    for head in heads:
        meant = difflib.get_close_matches(head.casefold(), _COLUMNS, n=1, cutoff=0.75)
        if head in _COLUMNS and heads.count(head) > 1:
            raise ValueError(f"{file} must have one column `{head}`, got {heads.count(head)}. Delete one.")
        if head not in _COLUMNS and meant and meant[0] not in heads:
            raise ValueError(f"{file} has no column `{meant[0]}`, but one called {head!r}. Rename it, or delete it.")


def _problem(row: Row) -> str:
    """What a row says that cannot be understood; nothing if all of it can."""
    path, label, split, mask, kind = (row.cells.get(column, "") for column in _COLUMNS[:5])
    if not path:
        return "`path` is empty. Name the photograph, or delete the row."
    if label.casefold() not in _LABELS:
        return f"`label` must be good or defective, got {label!r}. The kind of defect goes into the column kind."
    if "split" in row.cells and split.casefold() not in _SPLITS:
        return f"`split` must be train, validation or test, got {split!r}."
    defective = _LABELS[label.casefold()]
    if defective and _SPLITS.get(split.casefold(), "test") != "test":
        return f"`split` of a defective photograph must be test, got {split!r}: only good ones are learnt from."
    if not defective and mask:
        return f"`mask` of a good photograph must be empty, got {mask!r}."
    if kind and (_LABELS.get(kind.casefold()) is False) == defective:
        return f"`kind` of a {'defective' if defective else 'good'} photograph cannot be {kind!r}. Mend it, or `label`."
    return ""
