"""How a detector fails: each way has a name, a definition, and a number by which its worst cases are found."""

import heapq
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, ClassVar, Generic, TypeVar

from anomaly_diffusion.measures.failure_measures import MEASURES
from anomaly_diffusion.types import ImageResult

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
_SUMMED_UP = ("score", "defect_share", *MEASURES)


class Failure:
    """One way to fail. `name` is that of its picture, `title` says what is seen there.

    An image of `could_fail` is one of which the question has an answer; of those, `fails` has failed.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def could_fail(self, result: ImageResult) -> bool:
        """Whether the image is of the kind that can fail in this way, and it is known whether it has."""

    @abstractmethod
    def fails(self, result: ImageResult) -> bool:
        """Whether an image that could fail has."""

    @abstractmethod
    def badness(self, result: ImageResult) -> float:
        """By what cases are sorted; the larger, the worse."""

    @abstractmethod
    def verdict(self, result: ImageResult) -> str:
        """The number in a few words."""

    def severity(self, result: ImageResult) -> float:
        """The badness of a case; NaN of an image that has not failed in this way."""
        return self.badness(result) if self.could_fail(result) and self.fails(result) else math.nan

    def counted(self, results: Iterable[ImageResult]) -> tuple[int, int]:
        """How many images have failed, of how many that could."""
        asked = [self.fails(result) for result in results if self.could_fail(result)]
        return sum(asked), len(asked)


class _OfNormalPictures(Failure):
    """A failure of the reconstruction of a normal image: the badness exceeds a limit.

    Attributes:
        limit: what is no failure yet.
    """

    limit: ClassVar[float]

    def could_fail(self, result: ImageResult) -> bool:
        """Whether it is a normal image whose reconstruction was measured."""
        return result.label == 0 and not math.isnan(self.badness(result))

    def fails(self, result: ImageResult) -> bool:
        """Whether the badness exceeds the limit."""
        return self.badness(result) > self.limit


class OverSmoothing(_OfNormalPictures):
    """The reconstruction lacks fine structure that the image has: more than half of its power, 3 dB.

    severity = 1 - power of the reconstruction over that of the reference, periods below 8 pixels; normal images.

    Reference: Durall et al., "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to
    Reproduce Spectral Distributions", 2020.
    """

    name, title = "over_smoothing", "over-smoothing: normal images that lost more than half of their fine power"
    limit = 0.5

    def badness(self, result: ImageResult) -> float:
        """Share of fine power that is lost; negative if some was added."""
        return 1 - result.number("retained_fine")

    def verdict(self, result: ImageResult) -> str:
        """The power that was kept."""
        kept = result.number("retained_fine")
        return f"fine power kept: {kept:.0%}"


class TextureLoss(_OfNormalPictures):
    """Neighbouring pixels of the reconstruction go together differently: its texture is another one.

    severity = distance of grey-level co-occurrence matrices, 0 to 1, above .5; normal images.

    Reference: Haralick et al., "Textural Features for Image Classification", 1973.
    """

    name, title = (
        "texture_loss",
        "texture loss: normal images most of whose neighbouring pixels go together differently",
    )
    limit = 0.5

    def badness(self, result: ImageResult) -> float:
        """Distance of co-occurrence matrices."""
        return result.number("cooccurrence")

    def verdict(self, result: ImageResult) -> str:
        """Distance, and what is left of roughness."""
        distance, variance = result.number("cooccurrence"), result.number("variance_ratio")
        return f"co-occurrence distance {distance:.2f}, local variance {variance:.0%}"


class IdentityLoss(_OfNormalPictures):
    """The reconstruction of a normal image is another image.

    severity = 1 - structural similarity, above .5; normal images.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, Eq. 13.
    """

    name, title = (
        "identity_loss",
        "identity loss: normal images less than half like their reconstruction (SSIM below .5)",
    )
    limit = 0.5

    def badness(self, result: ImageResult) -> float:
        """One minus SSIM."""
        return 1 - result.number("ssim")

    def verdict(self, result: ImageResult) -> str:
        """SSIM and PSNR."""
        ssim, psnr = result.number("ssim"), result.number("psnr")
        return f"SSIM {ssim:.2f}, PSNR {psnr:.1f} dB"


class Hallucination(Failure):
    """The reconstruction shows, far from any defect, what the image does not.

    severity = largest mean absolute difference of a window of 7 pixels farther from any defect than the margin, above a
    tenth of the pixel range.

    Reference: Cohen et al., "Distribution Matching Losses Can Hallucinate Features in Medical Image Translation", 2018.
    """

    name, title = (
        "hallucination",
        "hallucination: windows far from any defect that differ by more than 10 % of the range",
    )

    def could_fail(self, result: ImageResult) -> bool:
        """Whether the reconstruction was measured."""
        return not math.isnan(self.badness(result))

    def fails(self, result: ImageResult) -> bool:
        """Whether a window differs by more than a tenth of the range."""
        return self.badness(result) > 0.1

    def badness(self, result: ImageResult) -> float:
        """Largest difference of a window."""
        return result.number("hallucination")

    def verdict(self, result: ImageResult) -> str:
        """The difference."""
        difference = result.number("hallucination")
        return f"window differs by {difference:.1%} of the range"


class CopiedDefect(Failure):
    """The reconstruction keeps the defect, so that it differs from the image no more there than elsewhere.

    severity = -10 log10(mean squared difference on the defect / that on normal pixels), at least 0; images with a mask.

    Reference: You et al., "A Unified Model for Multi-class Anomaly Detection", 2022, section 3.1 ("identical
    shortcut").
    """

    name, title = "copied_defect", "copied defect: defects that stand out no more than anything else in the difference"

    def could_fail(self, result: ImageResult) -> bool:
        """Whether the defect was measured."""
        return not math.isnan(self.badness(result))

    def fails(self, result: ImageResult) -> bool:
        """Whether it stands out by no energy."""
        return self.badness(result) >= 0

    def badness(self, result: ImageResult) -> float:
        """Negative contrast of residual energy."""
        return -result.number("energy_contrast")

    def verdict(self, result: ImageResult) -> str:
        """The contrast."""
        contrast = result.number("energy_contrast")
        return f"energy on the defect {contrast:+.1f} dB against normal pixels"


class MissedDefect(Failure):
    """The image is called normal though it is defective, or the map peaks somewhere else.

    severity = mean of the map over normal pixels - mean over the defect, in standard deviations; images with a mask
    that are missed or found elsewhere. It needs a limit and no picture, so that every detector has it.
    """

    name, title = "missed_defect", "missed defect: defects that are missed or found elsewhere"

    def could_fail(self, result: ImageResult) -> bool:
        """Whether there is a verdict on an image whose defect is marked."""
        return result.label == 1 and result.outcome != "" and not math.isnan(self.badness(result))

    def fails(self, result: ImageResult) -> bool:
        """Whether it was missed or found elsewhere."""
        return result.outcome in ("missed", "found elsewhere")

    def badness(self, result: ImageResult) -> float:
        """Negative contrast of the map."""
        return -result.number("map_contrast")

    def verdict(self, result: ImageResult) -> str:
        """The contrast."""
        contrast = result.number("map_contrast")
        return f"map on the defect {contrast:+.1f} sd against normal pixels"


class FalseAlarm(Failure):
    """A normal image is called defective.

    severity = largest value of its map, in standard deviations. It needs a limit and no picture, so that every detector
    has it.
    """

    name, title = "false_alarm", "false alarm: normal images that are called defective"

    def could_fail(self, result: ImageResult) -> bool:
        """Whether there is a verdict on a normal image."""
        return result.label == 0 and result.outcome != ""

    def fails(self, result: ImageResult) -> bool:
        """Whether it is called defective."""
        return result.outcome == "false alarm"

    def badness(self, result: ImageResult) -> float:
        """Largest value of the map."""
        return result.number("map_far")

    def verdict(self, result: ImageResult) -> str:
        """The value."""
        highest = result.number("map_far")
        return f"map reaches {highest:.1f} sd"


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


def summary(results: Sequence[ImageResult]) -> dict[str, Any]:
    """Mean, median, least and largest value of every column over normal and over defective images."""
    return {
        name: {"count": len(chosen)}
        | {column: _statistics([result.number(column) for result in chosen]) for column in _SUMMED_UP}
        for name, chosen in _by_label(results).items()
    }


def _by_label(results: Sequence[ImageResult]) -> Mapping[str, Sequence[ImageResult]]:
    return {
        name: [result for result in results if result.label == label]
        for label, name in enumerate(("normal", "defective"))
    }


def _statistics(values: Sequence[float]) -> dict[str, float] | None:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return None
    return {"mean": fmean(known), "median": median(known), "least": min(known), "largest": max(known)}
