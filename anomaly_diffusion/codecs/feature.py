"""Codec of feature diffusion: whitened principal components of the features of a frozen network."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.networks.components import principal_components
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.types import Encoded, Images, Masks, inside

__all__ = ["FeatureCodec"]

_COLOUR = 3.0  # standard deviations of a component that a picture shows from black to white, either way


class FeatureCodec(Codec):
    """Principal components of features, each of unit variance over normal images.

    Components are those of the correlation of the channels, so that no stage counts for more because its numbers are
    larger. Nothing is decoded: a residual compares components.

    Not whitened, components are those of the covariance and keep their variance: all of them have the distances that
    the features themselves have.

    Args:
        extractor: the frozen network.
        components: how many are kept, at least 1; None: all, as many as there are channels.
        normalise_brightness: whether each image is first brought to the mean brightness of normal ones: right where
            light drifts and says nothing about defects. The padding of a letterbox counts as
            brightness: take `Resize` with it.
        whiten: whether components are scaled to unit variance.

    Raises:
        ValueError: `components` is not positive.
    """

    photographs = False
    mean: Tensor
    projection: Tensor
    count: Tensor
    explained: Tensor
    std: Tensor
    brightness: Tensor

    def __init__(
        self,
        extractor: FeatureExtractor,
        components: int | None = 64,
        normalise_brightness: bool = False,
        whiten: bool = True,
    ) -> None:
        super().__init__()
        if components is not None and components < 1:
            raise ValueError(f"`components` must be at least 1, got {components}.")
        with torch.no_grad():
            channels = extractor(torch.zeros(1, 3, 16 * extractor.stride, 16 * extractor.stride)).shape[1]
        components = channels if components is None else components
        if components > channels:
            raise ValueError(f"`components` must be at most {channels}, the channels of the stages, got {components}.")
        self.extractor, self.components, self.normalise_brightness, self.whiten = (
            extractor,
            components,
            normalise_brightness,
            whiten,
        )
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(components, channels))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("explained", torch.zeros(()))
        self.register_buffer("std", torch.ones(components), persistent=not whiten)  # of each component
        self.register_buffer("brightness", torch.zeros(()))

    @property
    def fitted(self) -> bool:
        """Whether the components are known."""
        return bool(self.count > 0)

    @torch.no_grad()
    def moments(self, image: Images, valid: Masks | None = None) -> Tensor:
        """Sums of products of (1, features, brightness of the image) over valid positions; they add up over batches."""
        features = self.extractor(image).double()
        light = image.double().mean((1, 2, 3), keepdim=True).expand_as(features[:, :1])
        columns = torch.cat([torch.ones_like(light), features, light], dim=1).transpose(0, 1).flatten(1)
        if valid is not None:
            columns = columns * inside(valid, features.shape[-2:]).flatten()
        return columns @ columns.T

    def fit(self, moments: Tensor) -> None:
        """Find the components from summed `moments`.

        Raises:
            ValueError: there are fewer positions than channels.
        """
        count, channels = moments[0, 0], len(moments) - 2
        if count <= channels:
            raise ValueError(
                f"{channels} channels of features need more positions than that to learn from, got {count:.0f}. "
                "Take more photographs, larger frames or fewer stages."
            )
        found = principal_components(moments[:-1, :-1], self.components, self.whiten)
        self.mean.copy_(found.mean)
        self.projection.copy_(found.projection)
        self.std.copy_(found.std)
        self.explained.copy_(found.explained)
        self.brightness.copy_(moments[0, -1] / count)
        self.count.copy_(count)

    def encode(self, image: Images) -> Encoded:
        """Components (B, components, h, w)."""
        with torch.no_grad():
            if self.normalise_brightness:
                image = image + self.brightness - image.mean((1, 2, 3), keepdim=True)
            centred = self.extractor(image) - self.mean[:, None, None]
            return torch.einsum("kc,bchw->bkhw", self.projection, centred)

    def decode(self, x_0: Encoded) -> Encoded:
        """The components themselves."""
        return x_0

    def reference(self, image: Images, x_0: Encoded) -> Encoded:
        """The components of the image."""
        return x_0

    def in_model_space(self, decoded: Encoded) -> Encoded:
        """The components themselves."""
        return decoded

    def picture(self, decoded: Encoded, size: Sequence[int]) -> Images:
        """The first three components as red, green and blue."""
        shown = (decoded / self.std[:, None, None])[:, :3]
        shown = F.pad(shown, (0, 0, 0, 0, 0, 3 - shown.shape[1]))
        return F.interpolate((shown / _COLOUR).clamp(-1, 1), size=tuple(size), mode="nearest")
