"""How a detector fails: each way has a name, a definition, and a number by which its worst cases are found."""

import heapq
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, ClassVar, Generic, TypeVar

from anomaly_diffusion.measures.failure_measures import COLUMNS, FailureRow

__all__ = [
    "FAILURES",
    "CopiedDefect",
    "Failure",
    "FalseAlarm",
    "Hallucination",
    "IdentityLoss",
    "MissedDefect",
    "OverSmoothing",
    "TextureLoss",
    "Worst",
    "summary",
]

Item = TypeVar("Item")
_MEASURED = COLUMNS[COLUMNS.index("score") :]


class Failure:
    """One way to fail. `name` is that of its picture, `title` says what is seen there."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def severity(self, row: FailureRow) -> float:
        """The larger, the worse; NaN for an image that cannot fail in this way."""

    @abstractmethod
    def verdict(self, row: FailureRow) -> str:
        """The number in a few words."""


class OverSmoothing(Failure):
    """The reconstruction lacks fine structure that the image has.

    severity = 1 - power of the reconstruction over that of the reference, periods below 8 pixels; normal images.

    Reference: Durall et al., "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to
    Reproduce Spectral Distributions", 2020.
    """

    name, title = "over_smoothing", "over-smoothing: normal images that lost most fine structure"

    def severity(self, row: FailureRow) -> float:
        """Share of fine power that is lost; negative if some was added."""
        return math.nan if row.label else 1 - row.retained_fine

    def verdict(self, row: FailureRow) -> str:
        """The power that was kept."""
        return f"fine power kept: {row.retained_fine:.0%}"


class TextureLoss(Failure):
    """Neighbouring pixels of the reconstruction go together differently: its texture is another one.

    severity = distance of grey-level co-occurrence matrices, 0 to 1; normal images.

    Reference: Haralick et al., "Textural Features for Image Classification", 1973.
    """

    name, title = "texture_loss", "texture loss: normal images whose texture changed most"

    def severity(self, row: FailureRow) -> float:
        """Distance of co-occurrence matrices."""
        return math.nan if row.label else row.cooccurrence

    def verdict(self, row: FailureRow) -> str:
        """Distance, and what is left of roughness."""
        return f"co-occurrence distance {row.cooccurrence:.2f}, local variance {row.variance_ratio:.0%}"


class IdentityLoss(Failure):
    """The reconstruction of a normal image is another image.

    severity = 1 - structural similarity; normal images.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, Eq. 13.
    """

    name, title = "identity_loss", "identity loss: normal images least like their reconstruction"

    def severity(self, row: FailureRow) -> float:
        """One minus SSIM."""
        return math.nan if row.label else 1 - row.ssim

    def verdict(self, row: FailureRow) -> str:
        """SSIM and PSNR."""
        return f"SSIM {row.ssim:.2f}, PSNR {row.psnr:.1f} dB"


class Hallucination(Failure):
    """The reconstruction shows, far from any defect, what the image does not.

    severity = largest mean absolute difference of a window of 7 pixels farther from any defect than the margin.

    Reference: Cohen et al., "Distribution Matching Losses Can Hallucinate Features in Medical Image Translation", 2018.
    """

    name, title = "hallucination", "hallucination: largest differences far from any defect"

    def severity(self, row: FailureRow) -> float:
        """Largest difference of a window."""
        return row.hallucination

    def verdict(self, row: FailureRow) -> str:
        """The difference."""
        return f"window differs by {row.hallucination:.1%} of the range"


class CopiedDefect(Failure):
    """The reconstruction keeps the defect, so that it differs from the image no more there than elsewhere.

    severity = -10 log10(mean squared difference on the defect / that on normal pixels); images with a mask.

    Reference: You et al., "A Unified Model for Multi-class Anomaly Detection", 2022, section 3.1 ("identical
    shortcut").
    """

    name, title = "copied_defect", "copied defect: defects that stand out least in the difference"

    def severity(self, row: FailureRow) -> float:
        """Negative contrast of residual energy."""
        return -row.energy_contrast

    def verdict(self, row: FailureRow) -> str:
        """The contrast."""
        return f"energy on the defect {row.energy_contrast:+.1f} dB against normal pixels"


class MissedDefect(Failure):
    """The anomaly map is no higher on the defect than on normal pixels.

    severity = mean of the map over normal pixels - mean over the defect, in standard deviations; images with a mask.
    It needs no picture, so that every detector has it.
    """

    name, title = "missed_defect", "missed defect: defects that stand out least in the map"

    def severity(self, row: FailureRow) -> float:
        """Negative contrast of the map."""
        return -row.map_contrast

    def verdict(self, row: FailureRow) -> str:
        """The contrast."""
        return f"map on the defect {row.map_contrast:+.1f} sd against normal pixels"


class FalseAlarm(Failure):
    """The anomaly map is high where nothing is wrong.

    severity = largest value of the map on pixels farther from any defect than the margin, in standard deviations.
    It needs no picture, so that every detector has it.
    """

    name, title = "false_alarm", "false alarm: highest maps far from any defect"

    def severity(self, row: FailureRow) -> float:
        """Largest value of the map."""
        return row.map_far

    def verdict(self, row: FailureRow) -> str:
        """The value."""
        return f"map reaches {row.map_far:.1f} sd"


FAILURES: tuple[Failure, ...] = (
    OverSmoothing(),
    TextureLoss(),
    IdentityLoss(),
    Hallucination(),
    CopiedDefect(),
    MissedDefect(),
    FalseAlarm(),
)


class Worst(Generic[Item]):
    """The worst few of a stream, whatever its order.

    Args:
        count: how many are kept, at least 1.

    Raises:
        ValueError: `count` is not positive.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"`worst` must be at least 1, got {count}.")
        self.count = count
        self._kept: list[tuple[float, str, int, Item]] = []
        self._seen = 0

    def offer(self, severity: float, name: str, make: Callable[[], Item]) -> None:
        """Consider an item; `make` is called only if it is kept for now. NaN is never kept.

        Args:
            severity: the larger, the worse.
            name: names the item for good; decides between equals.
            make: gives the item.
        """
        full = len(self._kept) == self.count
        if not math.isnan(severity) and not (full and (severity, name) <= self._kept[0][:2]):
            push = heapq.heapreplace if full else heapq.heappush
            push(self._kept, (severity, name, self._seen, make()))  # numbers differ: items are never compared
            self._seen += 1

    def kept(self) -> list[tuple[float, str, Item]]:
        """Severity, name and item, worst first."""
        ordered = sorted(self._kept, key=lambda kept: kept[:2], reverse=True)
        return [(severity, name, item) for severity, name, _, item in ordered]


def summary(rows: Sequence[FailureRow]) -> dict[str, Any]:
    """Mean, median, least and largest value of every column over normal and over defective images."""
    return {
        name: {"count": len(chosen)}
        | {column: _spread([getattr(row, column) for row in chosen]) for column in _MEASURED}
        for name, chosen in _by_label(rows).items()
    }


def _by_label(rows: Sequence[FailureRow]) -> Mapping[str, Sequence[FailureRow]]:
    return {name: [row for row in rows if row.label == label] for label, name in enumerate(("normal", "defective"))}


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return None
    return {"mean": fmean(known), "median": median(known), "least": min(known), "largest": max(known)}
