"""The graph of a detector: from framed photographs to maps in standard deviations, scores and statistics."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from anomaly_diffusion.data.batches import in_range
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.tile_parts import Seen, look, take_up
from anomaly_diffusion.measures.controls import statistics
from anomaly_diffusion.types import ImageBatch

__all__ = ["JudgingGraph", "TiledGraph"]


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
        batch = self._batch(image, valid)
        return self._judged(batch, [Seen(detector.decoded(batch)) for detector in self.detector.ensemble])

    def _batch(self, image: Tensor, valid: Tensor) -> ImageBatch:
        """Photographs of which nothing is known but their category."""
        count = image.shape[0]  # `len` would be a constant of the graph
        none, size = torch.zeros(count, dtype=torch.int64), torch.zeros(count, 2, dtype=torch.int64)
        masks, pixels = valid[:, None], in_range(image.permute(0, 3, 1, 2))
        batch = ImageBatch(pixels, ~masks, masks, none.bool(), none + self.category, none, size, [])
        return batch._replace(categories=self.detector.categories.names)

    def _judged(self, batch: ImageBatch, seen: Sequence[Seen]) -> tuple[Tensor, Tensor, Tensor]:
        """The same of a batch, given what the detector, and each of its copies, has found."""
        pairs = zip(self.detector.ensemble, seen, strict=True)
        told = [self._judged_by(detector, batch, found) for detector, found in pairs]
        maps, scores = (
            parts[0] if len(parts) == 1 else torch.stack(parts).mean(0) for parts in zip(*told, strict=True)
        )
        return maps[:, 0], scores, statistics(batch.image, batch.valid)

    def _judged_by(self, detector: Detector, batch: ImageBatch, seen: Seen) -> tuple[Tensor, Tensor]:
        """Map and score by a detector, or by one of its copies, which have one calibration."""
        residuals = detector.residual_maps(batch, seen.decoded, self.category, seen.answers)
        fused: Tensor = detector.scoring.fused(residuals, detector.calibrations[self.category], self.rows)[1]
        return fused, detector.score(batch, seen.decoded, fused)


class TiledGraph(JudgingGraph):
    """The same in two parts that share weights: what networks make of tiles, and what follows of it, put together."""

    def forward(  # type: ignore[override]
        self,
        tiles: UInt8[Tensor, "N h w C"],
        place: Float[Tensor, "N 4"],
        image: UInt8[Tensor, "1 H W C"],
        valid: Bool[Tensor, "1 H W"],
        whole: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """What networks make of tiles; map, score and statistics of a photograph.

        Args:
            tiles: some of them, of any photograph.
            place: of each in its photograph, as of `ImageBatch`.
            image: a framed photograph.
            valid: pixels that belong to it.
            whole: what was made of all of its tiles, put together.
        """
        return (*self.looked_at(tiles, place), *self._judged(self._batch(image, valid), self._found(whole)))

    def looked_at(self, tiles: UInt8[Tensor, "N h w C"], place: Float[Tensor, "N 4"]) -> tuple[Tensor, ...]:
        """What networks make of tiles."""
        batch = self._batch(tiles, torch.ones_like(tiles[..., 0], dtype=torch.bool))._replace(place=place)
        return tuple(part for one in self.detector.ensemble for part in look(one, batch, self.category))

    def _found(self, whole: Sequence[Tensor]) -> list[Seen]:
        """What the detector and its copies have seen, whose parts `looked_at` has laid out in a row."""
        count = len(whole) // len(self.detector.ensemble)
        rows = [whole[start : start + count] for start in range(0, len(whole), count)]
        pairs = zip(self.detector.ensemble, rows, strict=True)
        return [take_up(detector, row, self.category) for detector, row in pairs]
