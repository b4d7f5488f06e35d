"""Feature extractors: frozen networks, pre-trained on photographs or here, whose features say more than pixels do.

The only file that imports torchvision and timm.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.weights import downloaded, filled, find_weights
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Images

__all__ = ["AutoencoderFeatures", "FeatureExtractor", "TimmFeatures", "TorchvisionFeatures", "in_pixels"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, in [0, 1]
_INSTALL = "is not installed. Run: pip install 'anomaly-diffusion[features]'"


class FeatureExtractor(Configured, nn.Module, ABC):
    """Features of several stages of a frozen network, averaged over neighbours, on one grid.

    Weights and running statistics never change, in training neither.

    Reference: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), 2022, section 3.1.

    Differs from the paper: the grid is that of `stride`, theirs that of the finest stage; means repeat the border,
    theirs include zeros; all channels are kept, the authors' code averages them to 1024.

    Args:
        network: image (B, 3, H, W), standardised as ImageNet's are -> stages (B, C_i, H_i, W_i).
        stride: pixels from one position of the grid to the next.
        neighbourhood: side of the window, in positions of each stage, that features are averaged over; odd.
        repeat: whether coarser stages are repeated on the grid, as in PaDiM, instead of interpolated.

    Raises:
        ValueError: `stride` is not positive, or `neighbourhood` is even.
    """

    ignored = frozenset({"weights"})  # detectors keep them in their checkpoints, residuals tell their digest

    def __init__(self, network: nn.Module, stride: int = 8, neighbourhood: int = 3, repeat: bool = False) -> None:
        super().__init__()
        if stride < 1:
            raise ValueError(f"`stride` must be at least 1, got {stride}.")
        if neighbourhood < 1 or neighbourhood % 2 == 0:
            raise ValueError(f"`neighbourhood` must be odd, so that a window has a middle, got {neighbourhood}.")
        self.network = network.requires_grad_(False).eval()
        self.stride, self.neighbourhood, self.repeat = stride, neighbourhood, repeat

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in evaluation: running statistics are those of the pre-training."""
        return super().train(False)

    @abstractmethod
    def stages(self, image: Images) -> list[Tensor]:
        """Feature maps of each stage, finest first, of an image standardised as ImageNet's are."""

    def forward(self, image: Images) -> Float[Tensor, "B D h w"]:
        """The features of `grids`, joined."""
        return torch.cat(self.grids(image), dim=1)

    def grids(self, image: Images) -> list[Tensor]:
        """Features (B, C_i, h, w) of each stage, finest first, on the grid of ceil(H / stride) x ceil(W / stride).

        Args:
            image: pixels in [-1, 1], grey or colour.

        Raises:
            ValueError: a stage is too small to be averaged over a neighbourhood.
        """
        size = [-(-side // self.stride) for side in image.shape[-2:]]
        return [_on_grid(self._averaged(stage), size, self.repeat) for stage in self._checked_stages(image)]

    def own_grids(self, image: Images) -> list[Tensor]:
        """Features of each stage on the grid that it comes with; means at its border include zeros from beyond.

        Args:
            image: pixels in [-1, 1], grey or colour.

        Raises:
            ValueError: a stage is too small to be averaged over a neighbourhood.
        """
        reach = self.neighbourhood // 2
        stages = self._checked_stages(image)
        return [F.avg_pool2d(stage, self.neighbourhood, stride=1, padding=reach) for stage in stages]

    def _checked_stages(self, image: Images) -> list[Tensor]:
        colour = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
        mean, std = _standard(colour)
        stages = self.stages(((colour + 1) / 2 - mean) / std)
        self._check(stages, image)
        return stages

    def _averaged(self, stage: Tensor) -> Tensor:
        reach = self.neighbourhood // 2
        padded = F.pad(stage, (reach,) * 4, mode="replicate") if reach else stage
        return F.avg_pool2d(padded, self.neighbourhood, stride=1)

    def _check(self, stages: list[Tensor], image: Images) -> None:
        for number, stage in enumerate(stages):
            if min(stage.shape[-2:]) < self.neighbourhood:
                height, width = image.shape[-2:]
                raise ValueError(
                    f"`image_size` {height} x {width} is too small: stage {number} has {stage.shape[-2]} x "
                    f"{stage.shape[-1]} positions, fewer than the neighbourhood of {self.neighbourhood}. "
                    "Take larger frames or drop the last stages."
                )


class TorchvisionFeatures(FeatureExtractor):
    """Stages of a classifier of torchvision, by the names of its modules.

    Args:
        name: as in torchvision.models, for instance mobilenet_v2 or wide_resnet50_2.
        stages: modules whose outputs are taken, finest first.
        weights: a safetensors file, here or below $ANOMALY_DIFFUSION_WEIGHTS; if not given, the file there whose name
            begins with `name`, else torchvision's own download.
        stride: pixels from one position of the grid to the next.
        neighbourhood: side of the window that features are averaged over, odd.
        repeat: whether coarser stages are repeated on the grid, as in PaDiM, instead of interpolated.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: it knows no such network, or the network no such stage.
        FileNotFoundError: there are no weights.
    """

    def __init__(
        self,
        name: str = "mobilenet_v2",
        stages: Sequence[str] = ("features.3", "features.6", "features.13"),
        weights: str | None = None,
        stride: int = 8,
        neighbourhood: int = 3,
        repeat: bool = False,
    ) -> None:
        try:
            from torchvision import models
            from torchvision.models.feature_extraction import create_feature_extractor
        except ImportError:
            raise ImportError(f"torchvision {_INSTALL}") from None

        if name not in models.list_models(module=models):
            raise ValueError(f"`name` must be a classifier of torchvision, got {name}. See torchvision.models.")
        path = find_weights(name, weights)
        whole = downloaded(name, lambda: models.get_model(name, weights=None if path else "DEFAULT"))
        unknown = [stage for stage in stages if stage not in dict(whole.named_modules())]
        if unknown or not stages:
            known = ", ".join(list(dict(whole.named_modules()))[1:40:3])
            raise ValueError(f"`stages` must name modules of {name}, got {unknown}. Some that it has: {known}.")
        network = create_feature_extractor(whole.eval(), list(stages))
        super().__init__(filled(network, path), stride, neighbourhood, repeat)
        self.name, self.chosen = name, tuple(stages)

    def stages(self, image: Images) -> list[Tensor]:
        """Feature maps of each stage."""
        return list(self.network(image).values())


class TimmFeatures(FeatureExtractor):
    """Stages of a network of timm, by their number.

    Args:
        name: as in timm.list_models(), for instance efficientnet_lite0 or wide_resnet50_2.
        stages: numbers of the stages, 0 being the finest; stage i has a stride of about 2^(i + 1) pixels.
        weights: a safetensors file, here or below $ANOMALY_DIFFUSION_WEIGHTS; if not given, the file there whose name
            begins with `name`, else timm's own download.
        stride: pixels from one position of the grid to the next.
        neighbourhood: side of the window that features are averaged over, odd.
        repeat: whether coarser stages are repeated on the grid, as in PaDiM, instead of interpolated.

    Raises:
        ImportError: timm is not installed.
        ValueError: it knows no such network, or the network no such stage.
        FileNotFoundError: there are no weights.
    """

    def __init__(
        self,
        name: str = "efficientnet_lite0",
        stages: Sequence[int] = (1, 2, 3),
        weights: str | None = None,
        stride: int = 8,
        neighbourhood: int = 3,
        repeat: bool = False,
    ) -> None:
        try:
            import timm
        except ImportError:
            raise ImportError(f"timm {_INSTALL}") from None

        if not timm.is_model(name):
            raise ValueError(f"`name` must be a network of timm, got {name}. See timm.list_models().")
        path = find_weights(name, weights)

        def create(**options: Any) -> Any:
            return timm.create_model(name, features_only=True, **options)

        count = len(create().feature_info)
        if not stages or not set(stages) <= set(range(count)):
            raise ValueError(f"`stages` of {name} must be among 0 to {count - 1}, got {list(stages)}.")
        network = downloaded(name, lambda: create(out_indices=tuple(stages), pretrained=path is None))
        super().__init__(filled(network, path), stride, neighbourhood, repeat)
        self.name, self.chosen = name, tuple(stages)

    def stages(self, image: Images) -> list[Tensor]:
        """Feature maps of each stage."""
        return list(self.network(image))


class AutoencoderFeatures(FeatureExtractor):
    """What the encoder of an autoencoder sees at each resolution on its way to the latent.

    It has seen normal images of one kind only, and was asked to draw them, not to tell things apart: a control for
    networks pre-trained on photographs, and a stand-in where there are none.

    Args:
        autoencoder: with `weights` of a run that trained it.
        stride: pixels from one position of the grid to the next.
        neighbourhood: side of the window that features are averaged over, odd.
    """

    def __init__(self, autoencoder: ConvAutoencoder, stride: int = 4, neighbourhood: int = 3) -> None:
        super().__init__(autoencoder.encoder, stride, neighbourhood)

    def stages(self, image: Images) -> list[Tensor]:
        """What each residual block puts out, finest first."""
        unshuffle, first, blocks, *_ = self.network.children()
        hidden, found = first(unshuffle(in_pixels(image))), []
        for layer in blocks.children():
            hidden = layer(hidden)
            if not isinstance(layer, torch.nn.Conv2d):  # a convolution leads from one resolution to the next
                found.append(hidden)
        return found


def in_pixels(image: Images) -> Images:
    """An image standardised as ImageNet's are, in [-1, 1] again."""
    mean, std = _standard(image)
    return (image * std + mean) * 2 - 1


def _standard(image: Images) -> tuple[Tensor, Tensor]:
    """Mean and std of ImageNet's pixels, where and as precise as the image is."""
    mean, std = (image.new_tensor(value)[:, None, None] for value in (_MEAN, _STD))
    return mean, std


def _on_grid(stage: Tensor, size: Sequence[int], repeat: bool) -> Tensor:
    if stage.shape[-1] > size[1]:
        return F.interpolate(stage, size=list(size), mode="area")
    if repeat:
        return F.interpolate(stage, size=list(size), mode="nearest")
    return F.interpolate(stage, size=list(size), mode="bilinear", align_corners=False)
