"""Two-level reconstruction (DiffusionAD): a deep one-shot guides a shallow one."""

import math
from collections.abc import Sequence

import torch

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseDraw
from anomaly_diffusion.reconstruction.depths import Depths
from anomaly_diffusion.reconstruction.guidance import DDADPull, Pull, as_pull, check_limit, clamped
from anomaly_diffusion.reconstruction.one_shot import check_draws, one_shot
from anomaly_diffusion.reconstruction.strategy import Reconstruction, Restored
from anomaly_diffusion.types import Images, Times

__all__ = ["TwoLevel"]


class TwoLevel(Reconstruction):
    """x_0_hat + pull * (guide - x_0_hat): x_0_hat one-shot at a depth, guide one-shot at the deeper level `deep`.

    The guide has forgotten the defect and the fine texture, the shallow estimate keeps both; between them they are to
    keep the texture only.

    Reference: Zhang et al., "DiffusionAD: Norm-guided One-step Denoising Diffusion for Anomaly Detection", 2023,
    section 3, and its code. Its depths are 0.72 and 2.04 (t = 200 and 400 of the linear schedule), its pull is
    DDADPull(1), its draws are one for each level, its limit is 1.

    Differs from the paper: the default of `deep` is 1.5, up to which our models learn, and there is no `limit` if none
    is given; guide and shallow estimate may be averages over draws, or noise-free; the map is a residual, theirs the
    output of a segmentation network that is trained along with the denoiser on painted defects.

    Args:
        depths: sigma_t / alpha_t of the shallow estimates, > 0.
        deep: sigma_t / alpha_t of the guide, greater than every one of `depths`.
        pull: a number in [0, 1], or a rule; a rule sees the shallow time.
        draws: noise draws of each estimate: 0 (noise-free), 1, or an even number.
        limit: guide and result are cut to [-limit, limit], > 0; 1 is the range of pixels. None: they are not.

    Raises:
        ValueError: the levels are out of order, or a setting lies outside its range.
    """

    def __init__(
        self,
        depths: Depths | Sequence[float] = (0.7,),
        deep: float = 1.5,
        pull: Pull | float | None = None,
        draws: int = 1,
        limit: float | None = None,
    ) -> None:
        super().__init__(depths)
        check_limit(limit)
        if not self.start.deepest < deep < math.inf:
            raise ValueError(
                f"`deep` must be finite and greater than the deepest of `depths`, {self.start.deepest}, got {deep}."
            )
        self.deep, self.limit = float(deep), limit
        self.pull = DDADPull(1.0) if pull is None else as_pull(pull)
        check_draws(draws)
        self.draws = draws

    @property
    def deepest(self) -> float:
        """The level of the guide."""
        return self.deep

    @property
    def evaluations(self) -> int:
        """Two for every draw."""
        return 2 * max(1, self.draws)

    def restore(self, denoiser: Denoiser, x_0: Images, depth: Times, draw: NoiseDraw) -> Restored:
        """The shallow estimate, pulled towards the deep one."""
        shallow = one_shot(denoiser, x_0, depth, self.draws, draw)
        deep = torch.full_like(depth, self.deep)
        guide = clamped(one_shot(denoiser, x_0, deep, self.draws, draw), self.limit)
        pull = self.pull(denoiser.schedule.time(depth), denoiser.schedule, shallow, guide)
        return Restored(clamped(shallow + pull * (guide - shallow), self.limit))
