"""What a part of the report consists of: what its template reads, its figures, and the runs that they are of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomaly_diffusion.report.paper.study import Trial

__all__ = ["Drawn", "Section"]


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        picture: a PDF, or a PNG of photographs.
        trials: the runs that it is of.
    """

    picture: bytes
    trials: Sequence[Trial]

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
