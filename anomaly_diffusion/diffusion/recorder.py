"""Records a sampling trajectory: every x_t that the network was shown, and its x_0_hat."""

from typing import NamedTuple

from torch import Tensor, nn

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.types import Estimate, Images, Times

__all__ = ["Evaluation", "Recorder"]


class Evaluation(NamedTuple):
    """One network evaluation.

    Attributes:
        t: time of each image.
        depth: sigma_t / alpha_t of each image.
        x_t: what the network was shown.
        x_0_hat: the clean image it believed in, before any guidance.
    """

    t: Times
    depth: Times
    x_t: Images
    x_0_hat: Images


class Recorder(Denoiser):
    """Passes every call on to another denoiser and remembers it, for pictures of a walk.

    What `conditioned_on` returns remembers into the same list.

    Args:
        denoiser: who answers.
        images: how many images of each batch to remember, from its first, >= 1; all if not given.
    """

    def __init__(self, denoiser: Denoiser, images: int | None = None) -> None:
        super().__init__(denoiser.backbone, denoiser.schedule, denoiser.parametrisation)
        if images is not None and images < 1:
            raise ValueError(f"`images` must be at least 1, got {images}.")
        self.denoiser, self.images = denoiser, images
        self.evaluations: list[Evaluation] = []

    def forward(self, x_t: Images, t: Tensor) -> Estimate:
        """Estimate at time `t`, () or (B,), in (0, 1)."""
        estimate: Estimate = self.denoiser(x_t, t)
        t = t.to(x_t).expand(len(x_t))
        seen = (t, self.schedule.depth(t), x_t, estimate.x_0)
        self.evaluations.append(Evaluation(*(part[: self.images].detach().clone() for part in seen)))
        return estimate

    def _around(self, backbone: nn.Module) -> "Recorder":
        recorder = Recorder(self.denoiser._around(backbone), self.images)
        recorder.evaluations = self.evaluations
        return recorder
