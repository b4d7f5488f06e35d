"""WinCLIP+: anomalies by what texts say, and by a few normal images to compare with."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.baselines.clip import ZeroShotCLIP
from anomaly_diffusion.baselines.clip_model import CLIPNetwork, harmonic_mean
from anomaly_diffusion.baselines.prompts import Prompts
from anomaly_diffusion.diffusion.noise import mix
from anomaly_diffusion.scoring.memory import Candidates, Memory
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.residual import Answers
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded, Encoded, ImageBatch, Images, Maps, Reconstructed, Scores

__all__ = ["FewShotCLIP"]

_MOST = 8192  # views of each kind that are remembered; of more, as from 42 shots on, a random sample


class FewShotCLIP(ZeroShotCLIP):
    """What texts say, averaged with how far patches and windows are from the nearest ones of a few normal images.

    distance(view) = min over views of normal images of (1 - <view, normal view>) / 2
    map = (map of texts + mean over patches and scales of the harmonic mean of distances) / 2
    score = (score of texts + largest distance of this mean) / 2

    Reference: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 5.

    Differs from the paper: shots are drawn from the training images as augmentation leaves them, by a seed; from 42 of
    them on a random sample of their views is remembered; the padding of a letterbox does not count for the score; and
    what `ZeroShotCLIP` lists.

    Args:
        network: CLIP; the default one if not given.
        prompts: what is said of normal and of anomalous objects; name the object.
        scoring: as for `ZeroShotCLIP`.
        shots: number of training images to compare with, >= 1, as they come from augmentation.
        seed: decides which.
        temperature: as for `ZeroShotCLIP`.

    Raises:
        ValueError: `shots` or `temperature` is not positive.
    """

    def __init__(
        self,
        network: CLIPNetwork | None = None,
        prompts: Prompts | None = None,
        scoring: Scoring | None = None,
        shots: int = 4,
        seed: int = 0,
        temperature: float | None = 0.07,
    ) -> None:
        if shots < 1:
            raise ValueError(f"`shots` must be at least 1, got {shots}. ZeroShotCLIP needs none.")
        super().__init__(network, prompts, scoring, temperature)
        self.shots, self.seed = shots, seed
        self.memories = nn.ModuleList(Memory(share=1.0, at_most=_MOST) for _ in (1, *self.network.scales))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Forget what another way of judging has remembered: validation fills memories anew."""
        super().on_load_checkpoint(checkpoint)
        if not self.is_compatible(checkpoint):
            state = checkpoint["state_dict"]
            for name in [name for name in state if name.startswith("memories.")]:
                del state[name]
            state |= {f"memories.{name}": value for name, value in self.memories.state_dict().items()}

    def on_fit_start(self) -> None:
        """Remember some training images."""
        super().on_fit_start()
        self._remember_once()

    def learn_normals(self) -> None:
        """Remember some training images unless that is done."""
        self._remember_once()
        super().learn_normals()

    @torch.no_grad()
    def remember(self, batches: Iterable[ImageBatch]) -> None:
        """Fill the memories from `shots` of the normal images of `batches`.

        Raises:
            ValueError: there are fewer.
        """
        drawn: dict[int, Images] = {}
        for batch in batches:
            lots = [mix(self.seed, key) for key in batch.key.tolist()]
            drawn = self._lowest(drawn | dict(zip(lots, batch.image.cpu().split(1), strict=True)))
        if len(drawn) < self.shots:
            raise ValueError(f"`shots` must be at most {len(drawn)}, the training images, got {self.shots}.")
        samples = [Candidates(_MOST, self.seed) for _ in self.memories]
        for lot, image in drawn.items():
            for sample, views in zip(samples, self._views(image.to(self.device)), strict=True):
                rows = _rows(views)
                sample.add(rows, torch.ones(rows.shape[:2], dtype=torch.bool), [lot])
        for memory, sample in zip(self._memories(), samples, strict=True):
            memory.fill(sample)

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """What texts say of normal objects; two maps: what texts say of views, and how far views are from normal."""
        views = self._views(batch.image)
        return self.reconstruction(x_0, torch.cat([self.told(views[1:], x_0), self.distance(views)], dim=1))

    def distance(self, views: list[Tensor]) -> Float[Tensor, "B 1 g g"]:
        """Map in [0, 1] of how far patches and windows are from the nearest ones of normal images."""
        scales = zip(views, self._memories(), (1, *self.network.scales), strict=True)
        return torch.stack([harmonic_mean(_distance(seen, memory), scale) for seen, memory, scale in scales]).mean(0)

    def residual_maps(
        self, batch: ImageBatch, decoded: Decoded, category: int | None = None, answers: Answers | None = None
    ) -> Tensor:
        """The mean of the two maps, smoothed."""
        maps = cast(Tensor, decoded.anomaly_maps)  # `restore` always brings some
        mean = replace(decoded, reconstruction=decoded.reconstruction[:, :1], anomaly_maps=maps.mean(1, keepdim=True))
        return super().residual_maps(batch, mean, category, answers)

    def score(self, batch: ImageBatch, decoded: Decoded, anomaly_map: Maps) -> Scores:
        """The mean of what texts say of the image as a whole and of its largest distance, in [0, 1]."""
        told, distance = super().score(batch, decoded, anomaly_map), cast(Tensor, decoded.anomaly_maps)[:, 1:]
        inside = F.interpolate(batch.valid.float(), size=distance.shape[-2:], mode="area") > 0.5
        return (told + MaxPooling()(distance, inside)) / 2

    def _views(self, image: Images) -> list[Tensor]:
        return [self.network.patches(image), *self.network.windows(image)]

    def _lowest(self, drawn: dict[int, Images]) -> dict[int, Images]:
        return {lot: drawn[lot] for lot in sorted(drawn)[: self.shots]}

    def _memories(self) -> Iterable[Memory]:
        return self.memories  # type: ignore[return-value]

    def _remember_once(self) -> None:
        if not all(memory.filled for memory in self._memories()):
            self.remember(self.training_batches())


def _distance(views: Float[Tensor, "B E h w"], memory: Memory) -> Float[Tensor, "B 1 h w"]:
    """(1 - cosine) / 2 = |view - nearest|^2 / 4, without the cancellation near zero."""
    rows = _rows(views).flatten(0, 1).float()
    squared = (rows - memory.nearest(rows)[:, 0]).square().sum(1)
    return (squared / 4).reshape(len(views), 1, *views.shape[-2:])


def _rows(views: Float[Tensor, "B E h w"]) -> Float[Tensor, "B P E"]:
    return views.flatten(2).transpose(1, 2)
