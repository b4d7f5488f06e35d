"""Diffusion on pixels."""

from collections.abc import Sequence

from anomaly_diffusion.codecs.codec import PixelCodec
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import Parametrisation
from anomaly_diffusion.diffusion.schedule import Schedule
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring

__all__ = ["PixelDetector"]


class PixelDetector(DiffusionDetector):
    """Diffusion runs on the pixels themselves; an argument for each axis of the field.

    Args:
        backbone: the network that is trained.
        schedule: noise schedule, alpha_t and sigma_t.
        parametrisation: what the network predicts.
        noise: forward-process noise, in training and in scoring alike.
        objective: which depths are learnt and how they count.
        reconstruction: how a normal image is found.
        scoring: how image and reconstruction are compared.
        scales: factors by which images are made smaller to be judged once more, from 1 down; the maps of all scales are
            standardised and fused as those of depths are. Train on them too: `data.augmentation.scales`.
    """

    def __init__(
        self,
        backbone: Backbone,
        schedule: Schedule,
        parametrisation: Parametrisation,
        noise: NoiseSource,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        scales: Sequence[float] = (1.0,),
    ) -> None:
        denoiser = Denoiser(backbone, schedule, parametrisation)
        super().__init__(PixelCodec(), denoiser, noise, objective, reconstruction, scoring, scales)
