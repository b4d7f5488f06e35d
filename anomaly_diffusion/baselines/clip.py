"""WinCLIP: anomalies by what texts say of an image and of its windows."""

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.baselines.clip_model import CLIPNetwork, harmonic_mean
from anomaly_diffusion.baselines.one_pass import OnePassDetector
from anomaly_diffusion.baselines.prompts import Prompts
from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded, Encoded, ImageBatch, Images, Maps, Reconstructed, Scores

__all__ = ["ZeroShotCLIP"]


class CLIPCodec(Codec):
    """An image as one point where texts are as well.

    Args:
        network: what finds it.
    """

    def __init__(self, network: CLIPNetwork) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def encode(self, image: Images) -> Float[Tensor, "B E 1 1"]:
        """Its embedding."""
        return self.network.embed(image)[:, :, None, None]

    def decode(self, x_0: Encoded) -> Encoded:
        """The embedding."""
        return x_0

    def reference(self, image: Images, x_0: Encoded) -> Encoded:
        """The embedding."""
        return x_0


class ZeroShotCLIP(OnePassDetector):
    """How much more an image, and each of its windows, is like texts on anomalous objects than on normal ones.

    p(view) = softmax(<view, normal> / temperature, <view, anomalous> / temperature)[anomalous]
    score = p(image),   map = harmonic mean over scales, the image one of them, of the harmonic mean of p(window)

    It sees no training image; normal images for validation only set the unit of its maps. The reconstruction of an
    image is what texts say of normal objects, and has no picture: the image itself is shown.

    Reference: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 4; the
    temperature is that of published reproductions, at which CLIP's training begins.

    Differs from the paper: CLIP is OpenAI's ViT-B/16 at 224 pixels if no other is given, theirs ViT-B/16+ of LAION-400M
    at 240; sentences are ours (see `Prompts`), and each has unit length before they are averaged; maps are smoothed and
    in standard deviations of normal.

    Args:
        network: CLIP; the default one if not given.
        prompts: what is said of normal and of anomalous objects; name the object.
        scoring: how maps are smoothed and standardised; if not given, over 4 pixels. Its residuals and pooling have no
            say.
        temperature: by which likeness is divided, > 0. None: CLIP's own, learnt, which for OpenAI's is 0.01.

    Raises:
        ValueError: `temperature` is not positive.
    """

    labels: Tensor

    def __init__(
        self,
        network: CLIPNetwork | None = None,
        prompts: Prompts | None = None,
        scoring: Scoring | None = None,
        temperature: float | None = 0.07,
    ) -> None:
        if temperature is not None and not temperature > 0:
            raise ValueError(f"`temperature` must be positive, or null for CLIP's own, got {temperature}.")
        network, prompts = network or CLIPNetwork(), prompts or Prompts()
        super().__init__(
            CLIPCodec(network), scoring or Scoring(smoothing=4.0, pooling=MaxPooling()), provides_maps=True
        )
        self.network, self.prompts = network, prompts
        labels, learnt = network.texts(*prompts.sentences())
        self.temperature = learnt if temperature is None else float(temperature)
        self.register_buffer("labels", labels, persistent=False)  # (2, E): normal, anomalous

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """What texts say of normal objects, and a map of what they say of windows."""
        return self.reconstruction(x_0, self.told(self.network.windows(batch.image), x_0))

    def told(self, windows: list[Tensor], x_0: Encoded) -> Float[Tensor, "B 1 g g"]:
        """Map in [0, 1] of what texts say of windows, and of the image as a whole."""
        scales = zip(windows, self.network.scales, strict=True)
        maps = [harmonic_mean(self.anomalous(window), scale) for window, scale in scales]
        inverse = 1 / self.anomalous(x_0) + torch.stack([1 / one for one in maps]).sum(0)
        return (1 + len(maps)) / inverse

    def anomalous(self, views: Float[Tensor, "B E h w"]) -> Float[Tensor, "B 1 h w"]:
        """How likely texts on anomalous objects are."""
        with torch.autocast(views.device.type, enabled=False):  # the temperature is low: all digits matter
            likeness = torch.einsum("le,behw->blhw", self.labels, views.to(self.labels))
            return (likeness / self.temperature).softmax(1)[:, 1:]

    def pictures(self, batch: ImageBatch, decoded: Decoded) -> tuple[Images, Tensor]:
        """The image, twice."""
        return batch.image, batch.image[:, None]

    def score(self, batch: ImageBatch, decoded: Decoded, anomaly_map: Maps) -> Scores:
        """What texts say of the image as a whole, in [0, 1]."""
        return self.anomalous(decoded.reference).flatten()

    def reconstruction(self, x_0: Encoded, anomaly_maps: Float[Tensor, "B D g g"]) -> Reconstructed:
        """What texts say of normal objects, wherever there are anomaly maps."""
        normal = self.labels[0][:, None, None].expand(*anomaly_maps.shape[:2], -1, *anomaly_maps.shape[2:])
        return Reconstructed(normal.to(x_0), nfe=0, anomaly_maps=anomaly_maps)
