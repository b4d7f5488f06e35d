"""The network of LPIPS, shift-tolerant variant."""

import re
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE, find_weights
from anomaly_diffusion.types import Images

__all__ = ["ShiftTolerantLPIPS"]

_NAME, _PACKAGE, _WITHIN = "stlpips_alex", "stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth"
_ENDS = (2, 6, 10, 12, 14)  # layers of the trunk whose outputs are compared
_CHANNELS = (64, 192, 384, 256, 256)
_SMALLEST = 21  # pixels; of fewer, the last blur has nothing left to mirror
_OURS = ((r"^net\.slice\d\.", "trunk."), (r"^lin(\d)\.model\.1\.", r"heads.\1."), (r"^scaling_layer\.", ""))


class ShiftTolerantLPIPS(nn.Module):
    r"""Features whose squared distances are LPIPS, in the variant that tolerates small shifts.

    feature_l = sqrt(w_l) * y_l / |y_l|,   LPIPS = sum over stages l of |feature_l(x) - feature_l(x_0)|^2

    with y_l the outputs of an AlexNet that blurs wherever it skips positions, and w_l learnt from people's judgements.

    Reference: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, Eq. 1;
    Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", 2022.

    Differs from the paper: nothing, of the variant for AlexNet.

    Args:
        weights: a safetensors file, here or below $ANOMALY_DIFFUSION_WEIGHTS; if not given, the file there whose name
            begins with stlpips_alex, else the weights that come with the package stlpips-pytorch.

    Raises:
        FileNotFoundError: there are no weights.
        ValueError: the file holds those of another network.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.trunk = _trunk()
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in _CHANNELS)
        self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(1, 3, 1, 1))
        _fill(self, find_weights(_NAME, weights) or _of_package())

    def forward(self, image: Images) -> list[Tensor]:
        """Features (B, C_l, H_l, W_l) of each stage, finest first.

        Args:
            image: colours in [-1, 1].

        Raises:
            ValueError: the image is too small.
        """
        height, width = image.shape[-2:]
        if min(height, width) < _SMALLEST:
            raise ValueError(
                f"`image_size` must be at least {_SMALLEST} x {_SMALLEST} for LPIPS, got {height} x {width}. "
                "Take larger frames, or enlarge them by `scale`."
            )
        x = (image - self.shift) / self.scale
        features: list[Tensor] = []
        for number, layer in enumerate(self.trunk):
            x = layer(x)
            if number in _ENDS:
                head: Tensor = self.heads[len(features)].weight  # type: ignore[assignment]  # (1, C_l, 1, 1), >= 0
                features.append(F.normalize(x, dim=1, eps=1e-10) * head.sqrt())
        return features


class _Blur(nn.Module):
    """Every second position of a binomial blur; the border is mirrored."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.filt, stride=2, groups=len(self.filt))


def _trunk() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, padding=2), _Blur(64), nn.ReLU()),
        *(nn.MaxPool2d(3, 1), _Blur(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
        *(nn.MaxPool2d(3, 1), _Blur(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


def _of_package() -> Path:
    """The file that comes with the package, whose code is not needed."""
    package = find_spec(_PACKAGE)
    for folder in (package and package.submodule_search_locations) or ():
        if (path := Path(folder) / _WITHIN).is_file():
            return path
    raise FileNotFoundError(
        f"The weights of LPIPS are not on this machine. Put a file {_NAME}.safetensors into a folder and set "
        f"{WEIGHTS_VARIABLE} to it, or run: pip install stlpips-pytorch"
    )


def _fill(network: nn.Module, path: Path) -> None:
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
        network.load_state_dict({_our_name(name): tensor for name, tensor in state.items()})
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()[:160]
        raise ValueError(f"{path} does not hold weights for {type(network).__name__}: {reason}") from None


def _our_name(name: str) -> str:
    for theirs, ours in _OURS:
        name = re.sub(theirs, ours, name)
    return name
