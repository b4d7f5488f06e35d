"""Base class of diffusion detectors: train a denoiser, reconstruct with it. Wiring only."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.learning_rate import warmup_then_cosine
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource, NoiseStream, mix
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.recorder import Evaluation, Recorder
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.activations import ActivationResidual
from anomaly_diffusion.scoring.residual import ActivationReader
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch, Images, Levels, Reconstructed

__all__ = ["DiffusionDetector"]


class DiffusionDetector(Detector):
    """Reconstructions are what a denoiser that has seen normal images only makes of an image, at several depths.

    Args:
        codec: where diffusion runs.
        denoiser: what is trained.
        noise: forward-process noise, in training and in scoring alike.
        objective: how errors are drawn and weighted.
        reconstruction: how a normal image is found.
        scoring: how image and reconstruction are compared.
        scales: factors by which images are made smaller to be judged once more, from 1 down.

    Raises:
        ValueError: a depth lies beyond the end of the schedule, or the backbone's activations cannot be read.
    """

    added: ClassVar[dict[str, Any]] = {"scales": [1]}
    ignored = frozenset({"denoiser", "backbone", "objective", "views", "cache"})
    noise_seed: Tensor

    def __init__(
        self,
        codec: Codec,
        denoiser: Denoiser,
        noise: NoiseSource,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        scales: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__(codec, scoring, len(reconstruction.depths), reconstruction.provides_maps, scales)
        _check_depths(denoiser, objective, reconstruction)
        _check_activations(denoiser, scoring)
        self.denoiser = denoiser
        self.noise, self.objective, self.reconstruction = noise, objective, reconstruction
        self.register_buffer("noise_seed", torch.tensor(0))

    @property
    def activation_reader(self) -> ActivationReader:
        """How residuals read the activations of the denoiser."""
        return self._activations

    def reader_of(self, batch: ImageBatch) -> ActivationReader:
        """How residuals read the activations of the denoiser about images that lie somewhere in their frame."""
        return partial(self._activations, batch=batch)

    def _activations(self, decoded: Encoded, depth: float, batch: ImageBatch | None = None) -> Levels:
        """The levels of the denoiser for what a codec compares, and the energy of its noise estimate."""
        denoiser = self.denoiser if batch is None else self.denoiser.conditioned_on(batch.category, batch.place)
        estimate, levels = denoiser.activations(self.codec.in_model_space(decoded), depth)
        return [*levels, estimate.noise.square().mean(1, keepdim=True)]

    @property
    def depths(self) -> tuple[float, ...]:
        """Depths at which reconstructions are made."""
        return self.reconstruction.depths

    @property
    def method(self) -> str:
        """The strategy."""
        return type(self.reconstruction).__name__

    def on_fit_start(self) -> None:
        """Remember the seed of the run: scoring draws its noise from it, later and elsewhere too."""
        super().on_fit_start()
        self.noise_seed.fill_(torch.initial_seed() % 2**31)

    def configure_optimizers(self) -> Any:
        """AdamW with the usual schedule, unless the config names an optimiser."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-2)
        schedule = warmup_then_cosine(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_loss(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Mean loss of a batch; its draws depend on seed, step and process, so that a resumed run repeats them."""
        seed = mix(int(self.noise_seed), self.global_step, batch_idx, self.global_rank)
        generator = Generator(self.device).manual_seed(seed)
        denoiser = self.denoiser.conditioned_on(self.categories.numbered(batch).category, batch.place)
        return self.objective(denoiser, self.noise, self.encode_training(batch, self.global_step), generator).mean()

    def restore(self, batch: ImageBatch, x_0: Encoded, denoiser: Denoiser | None = None) -> Reconstructed:
        """Reconstructions.

        Args:
            batch: the images.
            x_0: the same in model space.
            denoiser: a stand-in for the detector's own.
        """
        draw = NoiseStream(self.noise, batch.key, self.noise_seed)
        denoiser = (denoiser or self.denoiser).conditioned_on(self.categories.numbered(batch).category, batch.place)
        return self.reconstruction(denoiser, x_0, draw)

    @torch.no_grad()
    def trace(self, batch: ImageBatch) -> list[Evaluation]:
        """All that the network was asked about a batch and answered, in their order, x_t and x_0_hat in pixels."""
        recorder = Recorder(self.denoiser)
        self.restore(batch, self.codec.encode(batch.image), recorder)
        size = batch.image.shape[-2:]

        def shown(x_0: Encoded) -> Images:
            return self.codec.picture(self.codec.decode(x_0), size)

        return [asked._replace(x_t=shown(asked.x_t), x_0_hat=shown(asked.x_0_hat)) for asked in recorder.evaluations]


def _check_depths(denoiser: Denoiser, objective: Objective, reconstruction: Reconstruction) -> None:
    limit = float(denoiser.schedule.depth(torch.ones((), dtype=torch.float64)))
    for name, depth in (("objective.deepest", objective.deepest), ("reconstruction.depths", reconstruction.deepest)):
        if depth > limit:
            raise ValueError(f"`{name}` must be at most {limit:.3g}, where the schedule ends, got {depth}.")
    schedule, shallowest = denoiser.schedule, torch.tensor(min(reconstruction.depths), dtype=torch.float64)
    states = schedule.length * float(schedule.time(shallowest))
    if reconstruction.steps > max(1, states):
        raise ValueError(
            f"`reconstruction.steps` must be at most {states:.0f}: {type(schedule).__name__} has no more up to depth "
            f"{float(shallowest):.3g}, got {reconstruction.steps}. Take fewer steps, or CosineSchedule."
        )


def _check_activations(denoiser: Denoiser, scoring: Scoring) -> None:
    read = [residual.components for residual in scoring.residuals if isinstance(residual, ActivationResidual)]
    if not read:
        return
    backbone, limit = denoiser.backbone, float(denoiser.schedule.depth(torch.ones((), dtype=torch.float64)))
    count = getattr(backbone, "levels", 0)
    if not count:
        raise ValueError(f"{type(backbone).__name__} does not show its activations: take UNet or DiffusersUNet.")
    if getattr(backbone, "classes", 0):
        raise ValueError("`ActivationResidual` knows no categories: take a backbone with `classes: 0`.")
    for components in read:
        components.check(count, limit)
