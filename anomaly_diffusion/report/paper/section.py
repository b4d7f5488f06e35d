"""What a part of the report consists of: what its template reads, its figures, and the runs that they are of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomaly_diffusion.report.paper.study import Trial

__all__ = ["Drawn", "Section", "Source"]


@dataclass(frozen=True)
class Source:
    """What a figure is of, where that is no run folder.

    Attributes:
        runs: how many trainings.
        seeds: theirs.
        name: where they come from.
    """

    runs: int
    seeds: Sequence[str]
    name: str


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        picture: a PDF, or a PNG of photographs.
        trials: the runs that it is of.
        source: what it is of instead.
    """

    picture: bytes
    trials: Sequence[Trial]
    source: Source | None = None

    @property
    def ending(self) -> str:
        """Of its file."""
        return "png" if self.picture.startswith(b"\x89PNG") else "pdf"


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        data: what the template reads: words, numbers, lists and mappings of them.
        figures: by their names.
    """

    data: Mapping[str, Any]
    figures: Mapping[str, Drawn] = field(default_factory=dict)
