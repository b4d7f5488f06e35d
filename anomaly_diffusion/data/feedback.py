"""`feedback.csv`: photographs that were called defective and are not, for the next training."""

import csv
import hashlib
import io
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anomaly_diffusion import files
from anomaly_diffusion.data.sample import AnomalyDataset, Sample
from anomaly_diffusion.data.split import content_hash

__all__ = ["FILE", "Feedback"]

FILE = "feedback.csv"
_COLUMNS = ("path", "name", "score", "limit", "marked")
_SHOWN = 5


@dataclass(frozen=True)
class Feedback:
    """False alarms that someone has marked: a line each, and the photographs beside the file, which are copies.

    Attributes:
        path: of the CSV file. Its column `path` names photographs, relative to its folder.
    """

    path: Path

    def add(self, name: str, content: bytes, score: float, limit: float) -> bool:
        """Keep a photograph and append its line, in one piece, so that others may append as well.

        Args:
            name: of the photograph's file.
            content: of that file.
            score: that it got.
            limit: which that exceeds.

        Returns:
            Whether it is new here.
        """
        digest = hashlib.blake2b(content, digest_size=6).hexdigest()
        kept = Path("feedback", f"{Path(files.safe_name(name)).stem}-{digest}{Path(name).suffix or '.png'}")
        if any(row["path"].endswith(f"-{digest}{kept.suffix}") for row in self._rows()):
            return False
        files.write(self.path.parent / kept, content)
        marked = time.strftime("%Y-%m-%dT%H:%M:%S")
        self._append([kept.as_posix(), name, f"{score:.6g}", f"{limit:.6g}", marked])
        return True

    def photographs(self) -> list[Path]:
        """The photographs that are listed, each once.

        Raises:
            FileNotFoundError: naming those that are gone, or the list itself.
            ValueError: it is no such list.
        """
        if not self.path.is_file():
            raise FileNotFoundError(f"`feedback` must be a CSV file with a column `path`, but {self.path} is none.")
        listed = list(dict.fromkeys(self.path.parent / row["path"] for row in self._rows()))
        if gone := [str(path) for path in listed if not path.is_file()]:
            more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
            raise FileNotFoundError(
                f"{self.path} lists {len(gone)} photographs that are gone: {', '.join(gone[:_SHOWN])}{more}. "
                "Restore them, or delete their lines."
            )
        return listed

    def samples(self, dataset: AnomalyDataset) -> list[Sample]:
        """The photographs as good ones of a data set.

        Args:
            dataset: of which they are more.

        Raises:
            FileNotFoundError: some are gone.
            ValueError: the data set has no files, or several categories, and nobody knows which one they show.
        """
        if not dataset.places():
            raise ValueError(f"`feedback` needs a data set of files, got {type(dataset).__name__}.")
        categories = {sample.category for sample in dataset.train_samples()}
        if len(categories) > 1:
            raise ValueError("`feedback` needs a data set of one category, for its photographs are of none. Name one.")
        return [Sample(path, category=min(categories, default=0)) for path in self.photographs()]

    def others(self, samples: Sequence[Sample]) -> list[Sample]:
        """Those of a test set that are not among the photographs, whose copies were learnt from."""
        known = self.photographs()
        sizes, hashes = {path.stat().st_size for path in known}, {content_hash(path) for path in known}
        return [
            sample
            for sample in samples
            if not sample.path.is_file()
            or sample.path.stat().st_size not in sizes
            or content_hash(sample.path) not in hashes
        ]

    def _rows(self) -> list[dict[str, str]]:
        return files.read_table(self.path, ["path"]) if self.path.is_file() else []

    def _append(self, cells: list[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = self.path.with_name(f".{self.path.name}.{os.getpid()}.{threading.get_ident()}.head")
        head.write_bytes(_line(_COLUMNS))
        with suppress(FileExistsError):  # whoever is first brings the head along
            os.link(head, self.path)
        head.unlink()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, _line(cells))
        finally:
            os.close(handle)


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
