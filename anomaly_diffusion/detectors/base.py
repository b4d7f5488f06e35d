"""What every diffusion detector does: learn, calibrate on held-out normals, judge. Wiring only."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Generator, Tensor

from anomaly_diffusion.codecs.codec import Codec
from anomaly_diffusion.detectors.judgement import settings
from anomaly_diffusion.detectors.learning_rate import warmup_then_cosine
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource, NoiseStream, mix
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.recorder import Evaluation, Recorder
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.calibration import Calibration, moments
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch, Maps, Masks, Prediction, Reconstructed, Scores

__all__ = ["Detector"]

CHUNK = 64  # images that pass through the network together in scoring: more of them only take more memory
_OF_JUDGEMENT = ("calibration.", "image_threshold", "pixel_threshold")


class Detector(pl.LightningModule):
    """Image -> x_0 -> healthy x_0 at several depths -> residuals -> calibrated map and score.

    A detector computes no metric and draws no picture; callbacks read the `Prediction` that its steps return.

    Args:
        codec: where diffusion runs.
        denoiser: what is trained.
        noise: what corrupts, in training and in scoring alike.
        objective: how errors are drawn and weighted.
        reconstruction: how a healthy image is found.
        scoring: how image and reconstruction are compared.

    Raises:
        ValueError: a depth lies beyond the end of the schedule.
    """

    image_threshold: Tensor
    pixel_threshold: Tensor
    noise_seed: Tensor

    def __init__(
        self,
        codec: Codec,
        denoiser: Denoiser,
        noise: NoiseSource,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
    ) -> None:
        super().__init__()
        _check_depths(denoiser, objective, reconstruction)
        self.codec, self.denoiser, self.scoring = codec, denoiser, scoring
        self.noise, self.objective, self.reconstruction = noise, objective, reconstruction
        self.weights = torch.ones(1) if reconstruction.judges else scoring.weights  # of the maps of one depth
        self.calibration = Calibration(len(reconstruction.depths) * len(self.weights))
        self.register_buffer("image_threshold", torch.tensor(torch.nan))
        self.register_buffer("pixel_threshold", torch.tensor(torch.nan))
        self.register_buffer("noise_seed", torch.tensor(0))

    @property
    def depths(self) -> tuple[float, ...]:
        """Depths at which healthy versions are made."""
        return self.reconstruction.depths

    def on_fit_start(self) -> None:
        """Remember the seed of the run: scoring draws its noise from it, later and elsewhere too."""
        self.noise_seed.fill_(torch.initial_seed() % 2**31)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down what the calibration and the thresholds belong to."""
        checkpoint["judgement"] = self.judgement

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the weights, but leave the calibration and thresholds of another way of judging."""
        if not self.suits(checkpoint):
            mine = self.state_dict()
            checkpoint["state_dict"] |= {name: mine[name] for name in mine if name.startswith(_OF_JUDGEMENT)}
            for name in set(checkpoint["state_dict"]) - set(mine):
                if name.startswith(_OF_JUDGEMENT):
                    del checkpoint["state_dict"][name]

    @property
    def judgement(self) -> str:
        """The settings that decide what a residual is like: calibration and thresholds hold for no others."""
        return " ".join(settings(part) for part in (self.noise, self.reconstruction, self.scoring))

    def suits(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether calibration and thresholds of `checkpoint` are those of this detector's way of judging."""
        return bool(checkpoint.get("judgement") == self.judgement)

    def configure_optimizers(self) -> Any:
        """AdamW with the usual schedule, unless the config names an optimiser."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-2)
        schedule = warmup_then_cosine(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Mean loss of a batch; its draws depend on seed, step and process, so that a resumed run repeats them."""
        seed = mix(int(self.noise_seed), self.global_step, batch_idx, self.global_rank)
        generator = Generator(self.device).manual_seed(seed)
        denoiser = self.denoiser.given(batch.category)
        loss = self.objective(denoiser, self.noise, self.codec.encode(batch.image), generator).mean()
        self.log("train/loss", loss, batch_size=len(batch.image))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Calibrate on the normal images of the validation split, with the weights about to be validated."""
        batches: Iterable[ImageBatch] = self.trainer.val_dataloaders  # type: ignore[assignment]
        with self.trainer.precision_plugin.val_step_context():
            self.calibrate(batches)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """The verdict on a batch."""
        return self.forward(batch)

    def test_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """The verdict on a batch."""
        return self.forward(batch)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:
        """The verdict on a batch."""
        return self.forward(batch)

    @torch.no_grad()
    def forward(self, batch: ImageBatch) -> Prediction:
        """The verdict on a batch; that on each image depends on nothing but the image.

        Raises:
            RuntimeError: the detector has not been calibrated.
        """
        if not self.calibration.fitted:
            raise RuntimeError(
                "The detector is not calibrated. Validate it once, or load a checkpoint of a finished run."
            )
        healthy = self.reconstruct(batch)
        depth_maps, anomaly_map = self.scoring.judge(self.differences(batch, healthy), self.calibration, self.weights)
        return Prediction(healthy.x_0, depth_maps, anomaly_map, self.pool(anomaly_map, batch.valid), healthy.nfe)

    def pool(self, anomaly_map: Maps, valid: Masks) -> Scores:
        """One number per image."""
        return self.scoring.pooling(anomaly_map, valid)

    def reconstruct(self, batch: ImageBatch, denoiser: Denoiser | None = None) -> Reconstructed:
        """Healthy versions in pixels; however large the batch, the network sees at most `CHUNK` images at a time.

        Args:
            batch: the images.
            denoiser: a stand-in for the detector's own.
        """
        draw = NoiseStream(self.noise, batch.key.tolist(), int(self.noise_seed))
        denoiser = (denoiser or self.denoiser).given(batch.category).chunked(CHUNK)
        healthy = self.reconstruction(denoiser, self.codec.encode(batch.image), draw)
        B, D = healthy.x_0.shape[:2]
        return replace(healthy, x_0=self.codec.decode(healthy.x_0.flatten(0, 1)).unflatten(0, (B, D)))

    @torch.no_grad()
    def trace(self, batch: ImageBatch) -> list[Evaluation]:
        """All that the network was asked about a batch and answered, in their order, x_t and x_0_hat in pixels."""
        recorder = Recorder(self.denoiser)
        self.reconstruct(batch, recorder)
        decode = self.codec.decode
        return [asked._replace(x_t=decode(asked.x_t), x_0_hat=decode(asked.x_0_hat)) for asked in recorder.evaluations]

    def differences(self, batch: ImageBatch, healthy: Reconstructed) -> Tensor:
        """Smoothed maps (B, D*K, H, W): residuals, or what the strategy itself has found."""
        if healthy.evidence is None:
            return self.scoring.compare(batch.image, healthy.x_0)
        smoothed: Tensor = self.scoring.smoothing(healthy.evidence)
        return smoothed

    @torch.no_grad()
    def calibrate(self, batches: Iterable[ImageBatch]) -> None:
        """Fit the calibration to the normal images among `batches`, over all processes.

        Raises:
            ValueError: there is no normal image.
        """
        total = self.calibration.no_moments()
        for batch in batches:
            normal = self.transfer_batch_to_device(batch, self.device, 0)
            normal = normal.rows(~normal.label)
            if normal.path:
                total += moments(self.differences(normal, self.reconstruct(normal)), normal.valid)
        total = self._over_processes(total)
        if total[0, 0] < 2:
            raise ValueError("No normal image to calibrate on. Hold out some defect-free images for validation.")
        self.calibration.fit(total)

    def _over_processes(self, total: Tensor) -> Tensor:
        if self._trainer is None:
            return total
        gathered: Tensor = self.all_gather(total)  # type: ignore[assignment]
        return gathered.reshape(-1, *total.shape).sum(0)


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
