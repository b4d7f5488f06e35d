"""CLIP residual: patches and windows of image and reconstruction, compared by their embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor

from anomaly_diffusion.baselines.clip_model import CLIPNetwork, overlap_mean
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.scoring.scorer import enlarged
from anomaly_diffusion.types import Images, Maps

__all__ = ["CLIPResidual"]


class CLIPResidual(Residual):
    """How far patches and windows of the reconstruction are from those of the image at the same place.

    residual = mean over patches and scales of (1 - <view(image), view(reconstruction)>) / 2

    with a patch's share in a scale the mean over the windows that hold it.

    Reference: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", 2023, section 5, whose
    reference association has this distance.

    Differs from the paper: the reconstruction's view at the same place stands for the nearest view of normal images;
    windows are averaged by their mean, theirs by the harmonic one; texts have no say.

    Args:
        network: CLIP; the default one if not given. Images are resized to its size.
        windows: whether windows are compared as well, and not patches alone, which is ten times as fast.
    """

    def __init__(self, network: CLIPNetwork | None = None, windows: bool = True) -> None:
        super().__init__()
        self.network, self.windows = network or CLIPNetwork(), windows

    def forward(self, image: Images, reconstruction: Images) -> Maps:
        """Map in [0, 1].

        Raises:
            ValueError: the images are no pixels.
        """
        return self.maps(image, reconstruction[:, None])

    def maps(self, reference: Images, reconstruction: Float[Tensor, "B D C H W"]) -> Float[Tensor, "B D H W"]:
        """Map of each depth; the network sees the image once for all of them."""
        expected = self._views(reference)
        found = [self._distance(expected, self._views(one)) for one in reconstruction.unbind(1)]
        return enlarged(torch.cat(found, dim=1), reference.shape[-2:])

    def _views(self, image: Images) -> list[Tensor]:
        return [self.network.patches(image), *(self.network.windows(image) if self.windows else [])]

    def _distance(self, expected: list[Tensor], found: list[Tensor]) -> Maps:
        """(1 - cosine) / 2 = |x - y|^2 / 4, without the cancellation near zero."""
        away = [(x - y).square().sum(1, keepdim=True) / 4 for x, y in zip(expected, found, strict=True)]
        scales = zip(away, (1, *self.network.scales), strict=False)
        return torch.stack([overlap_mean(view, scale) for view, scale in scales]).mean(0)
