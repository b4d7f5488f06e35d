"""Stable Diffusion as it comes: img2img is our own partial diffusion with a foreign denoiser."""

from dataclasses import replace
from typing import Any

from anomaly_diffusion.baselines.adapters import PromptedUNet, VAECodec
from anomaly_diffusion.baselines.one_pass import Untrained
from anomaly_diffusion.baselines.pipeline import Parts, Pipeline
from anomaly_diffusion.codecs.latent import Against
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise, NoiseSource
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch, Reconstructed

__all__ = ["PromptedDetector", "StableDiffusionDetector"]


class PromptedDetector(DiffusionDetector):
    """Diffusion runs on the latents of a pre-trained pipeline that is told a prompt; checkpoints do not hold it.

    Args:
        pipeline: what it was told, and how it is run.
        parts: what it is made of.
        objective: which depths are learnt and how they count, where anything is learnt.
        reconstruction: how normal latents are found.
        scoring: how image and decoded latents are compared.
        noise: forward-process noise; white if not given.
        against: with what decoded latents are compared; the image if not given.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        parts: Parts,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        noise: NoiseSource | None = None,
        against: Against | None = None,
    ) -> None:
        unet = PromptedUNet(parts.unet, parts.prompts, pipeline.guidance, int(parts.schedule.length))
        denoiser = Denoiser(unet, parts.schedule, parts.parametrisation)
        codec = VAECodec(parts.vae, pipeline.chunk, against)
        super().__init__(codec, denoiser, noise or GaussianNoise(), objective, reconstruction, scoring)
        self.micro_batches = MicroBatcher(pipeline.chunk, pipeline.chunk)
        self._backbone = [unet]  # in a list: it is the denoiser's already
        told = (pipeline.prompt, pipeline.negative_prompt) if unet.evaluations > 1 else (pipeline.prompt,)
        self.identity = [parts.digest, *told, pipeline.guidance, pipeline.precision]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the constructor; of the pipeline what it is told, its precision and a digest of its weights."""
        return {**super().settings, "pipeline": self.identity}

    @property
    def backbone(self) -> PromptedUNet:
        """The prompted UNet."""
        return self._backbone[0]

    def restore(self, batch: ImageBatch, x_0: Encoded, denoiser: Denoiser | None = None) -> Reconstructed:
        """Reconstructions; with guidance each evaluation counts twice.

        Args:
            batch: the images.
            x_0: the same in model space.
            denoiser: a stand-in for the detector's own.
        """
        found = super().restore(batch, x_0, denoiser)
        return replace(found, nfe=found.nfe * self.backbone.evaluations)


class StableDiffusionDetector(Untrained, PromptedDetector):
    """Stable Diffusion img2img without any training: noise the latents part of the way, walk back, compare.

    Reference: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022; Meng et al.,
    "SDEdit", 2022.

    Differs from the paper: neither judges images; latents are the means of the VAE, img2img of diffusers draws them;
    what walks, how far and in how many steps is free (see `PartialDiffusion`), and there is no guidance if none is
    given.

    Args:
        pipeline: which model, what it is told, and how much memory it may take.
        reconstruction: how normal latents are found; img2img is `PartialDiffusion`, its strength `Strengths`.
        scoring: how image and decoded latents are compared.
        noise: forward-process noise; white if not given.
        against: with what decoded latents are compared; the image if not given.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        reconstruction: Reconstruction,
        scoring: Scoring,
        noise: NoiseSource | None = None,
        against: Against | None = None,
    ) -> None:
        super().__init__(pipeline, pipeline.load(), Objective(), reconstruction, scoring, noise, against)
        self.idle_along()
