"""PatchCore: how far each patch is from the nearest one that normal images have."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anomaly_diffusion.baselines.one_pass import OnePassDetector
from anomaly_diffusion.codecs.feature import FeatureCodec
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.scoring.memory import Candidates, Memory
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded, Encoded, ImageBatch, Maps, Reconstructed, Scores, inside

__all__ = ["PatchCore"]


class PatchCore(OnePassDetector):
    r"""The reconstruction of a patch is the nearest one in memory; its distance is the anomaly.

    score = (1 - exp|p - m| / sum_{n near m} exp|p - n|) * |p - m|

    with p the patch that is farthest from memory, m its nearest item, and n the `neighbours` items nearest to m, itself
    among them. Distances are the maps: the residuals of `scoring` have no say, nor has its pooling in this score.

    Reference: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), 2022, Eq. 6 and 7.

    Differs from the paper: features are those of `features`, where the paper takes two stages of Wide ResNet50-2; means
    over neighbours repeat the border; frames are seen whole, where its experiments crop 224 of 256 pixels; the memory
    has the bounds of `memory`, none if `at_most` and `candidates` are None; positions in the padding of a letterbox are
    neither remembered nor asked; the smoothing is cut at 3 standard deviations.

    Args:
        features: the frozen network.
        memory: which patches are kept.
        scoring: how maps of distances are smoothed and standardised; if not given, over 4 pixels as in the paper.
        components: number of principal components of the features; None: as many as there are channels.
        whiten: whether components are scaled to unit variance; the paper takes features as they are.
        neighbours: number of items near m by which a score is weighted, >= 2; 0: pool the map, as `scoring` says.
        normalise_brightness: whether images are brought to the mean brightness of training images.

    Raises:
        ValueError: `neighbours` is 1 or negative.
    """

    def __init__(
        self,
        features: FeatureExtractor,
        memory: Memory | None = None,
        scoring: Scoring | None = None,
        components: int | None = None,
        whiten: bool = False,
        neighbours: int = 9,
        normalise_brightness: bool = False,
    ) -> None:
        if neighbours < 0 or neighbours == 1:
            raise ValueError(f"`neighbours` must be at least 2, or 0 for no weight, got {neighbours}.")
        scoring = scoring or Scoring(smoothing=4.0, pooling=MaxPooling())
        super().__init__(FeatureCodec(features, components, normalise_brightness, whiten), scoring, provides_maps=True)
        self.memory, self.neighbours = memory or Memory(), neighbours

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Forget what another way of judging has remembered: validation fills the memory anew."""
        super().on_load_checkpoint(checkpoint)
        if not self.is_compatible(checkpoint):
            checkpoint["state_dict"]["memory.items"] = self.memory.items

    def on_fit_start(self) -> None:
        """Fit the components, then fill the memory."""
        super().on_fit_start()
        self._remember_once()

    def learn_normals(self) -> None:
        """Fill the memory unless it is full."""
        self._remember_once()
        super().learn_normals()

    @torch.no_grad()
    def remember(self, batches: Iterable[ImageBatch]) -> None:
        """Fill the memory from `batches` of normal images.

        Raises:
            ValueError: there are too few patches.
        """
        candidates = Candidates(self.memory.candidates, self.memory.seed)
        for batch in batches:
            x_0 = self.micro_batches(self.encode_training, batch)
            candidates.add(_patches(x_0), inside(batch.valid, x_0.shape[-2:]), batch.key.tolist())
        self.memory.fill(candidates)
        if len(self.memory.items) < self.neighbours:
            raise ValueError(
                f"`neighbours` must be at most {len(self.memory.items)}, the patches in memory, got {self.neighbours}. "
                "Take a larger `share`, or more training images."
            )

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """The nearest patches in memory, and how far they are."""
        patches = _patches(x_0).flatten(0, 1).float()
        nearest = self.memory.nearest(patches)[:, 0]
        B, _, h, w = x_0.shape
        distance = (patches - nearest).norm(dim=1).reshape(B, 1, h, w)
        return Reconstructed(nearest.reshape(B, 1, h, w, -1).movedim(-1, 2), nfe=0, anomaly_maps=distance)

    def score(self, batch: ImageBatch, decoded: Decoded, anomaly_map: Maps) -> Scores:
        """The distance of the farthest patch, less where memory is dense around its nearest item."""
        distance = decoded.anomaly_maps
        if not self.neighbours or distance is None:
            return super().score(batch, decoded, anomaly_map)
        outside = ~inside(batch.valid, decoded.reference.shape[-2:])
        worst = distance.flatten(1).masked_fill(outside, -torch.inf).argmax(1)
        one = torch.arange(worst.shape[0], device=worst.device), worst
        patch, nearest = (_patches(maps)[one].float() for maps in (decoded.reference, decoded.reconstruction[:, 0]))
        around = self.memory.nearest(nearest, self.neighbours)
        away, reach = (patch - nearest).norm(dim=1), (patch[:, None] - around).norm(dim=2)
        weighted: Tensor = (1 - torch.exp(away - reach.logsumexp(1))).clamp(min=0) * away
        return weighted

    def _remember_once(self) -> None:
        if not self.memory.filled:
            self.remember(self.training_batches())


def _patches(x_0: Encoded) -> Tensor:
    """One row (B, P, C) for each position."""
    return x_0.flatten(2).transpose(1, 2)
