"""The graph of a detector: from framed photographs to maps in standard deviations, scores and statistics."""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from anomaly_diffusion.data.batches import in_range
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.measures.controls import statistics
from anomaly_diffusion.types import ImageBatch

__all__ = ["JudgingGraph"]


class JudgingGraph(nn.Module):
    """What a detector does with a batch, without what only people or training need.

    Args:
        detector: calibrated.
        category: the number of the one that all photographs show.
    """

    rows: Tensor

    def __init__(self, detector: Detector, category: int = 0) -> None:
        super().__init__()
        self.detector, self.category = detector, category
        rows = detector.scoring.rows(detector.calibrations[category], detector.weights, len(detector.scales))
        self.register_buffer("rows", rows[-1:])

    def forward(
        self, image: UInt8[Tensor, "B H W C"], valid: Bool[Tensor, "B H W"]
    ) -> tuple[Float[Tensor, "B H W"], Float[Tensor, " B"], Float[Tensor, "B 3"]]:
        """Maps, scores and the statistics that drift is told by.

        Args:
            image: framed photographs.
            valid: pixels that belong to them.
        """
        batch = _batch(image, valid, self.category)._replace(categories=self.detector.categories.names)
        told = [self._judged(one, batch) for one in self.detector.ensemble]
        maps, scores = (
            parts[0] if len(parts) == 1 else torch.stack(parts).mean(0) for parts in zip(*told, strict=True)
        )
        return maps[:, 0], scores, statistics(batch.image, batch.valid)

    def _judged(self, detector: Detector, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Map and score by a detector, or by one of its copies, which have one calibration."""
        decoded = detector.decoded(batch)
        residuals = detector.residual_maps(batch, decoded, self.category)
        fused: Tensor = detector.scoring.fused(residuals, detector.calibrations[self.category], self.rows)[1]
        return fused, detector.score(batch, decoded, fused)


def _batch(image: Tensor, valid: Tensor, category: int) -> ImageBatch:
    """Photographs of which nothing is known but their category."""
    count = image.shape[0]  # `len` would be a constant of the graph
    none, size = torch.zeros(count, dtype=torch.int64), torch.zeros(count, 2, dtype=torch.int64)
    masks = valid[:, None]
    return ImageBatch(in_range(image.permute(0, 3, 1, 2)), ~masks, masks, none.bool(), none + category, none, size, [])
