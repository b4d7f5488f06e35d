"""Autoencoder detector: trained on normal images, the anomaly is its reconstruction error."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from anomaly_diffusion.codecs.codec import PixelCodec
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.learning_rate import warmup_then_cosine
from anomaly_diffusion.diffusion.noise import mix
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.patch_discriminator import PatchDiscriminator
from anomaly_diffusion.scoring.residual import L1Residual, Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Encoded, ImageBatch, Images, Masks, Prediction, Reconstructed

__all__ = ["AutoencoderDetector"]


class AutoencoderDetector(Detector):
    """Trains an autoencoder for latent diffusion; as a detector, its reconstruction is D(E(image)).

    loss = sum_k weights_k * mean(residual_k(image, D(latent))) + kl * mean(KL(latent | N(0, 1)))

    with residuals averaged over the pixels of the photograph, the divergence over the numbers of the latent, and latent
    drawn from N(mean, variance) of the encoder. With `kl` 0 the latent is its mean, and nothing is random.

    Reference: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022, section 3.1; their
    discriminator is the `adversary`.

    Differs from the paper: it learns L1 and SSIM if no `losses` are given, theirs L1 and LPIPS; an `adversary` has a
    fixed weight, theirs one that follows the gradients, and is none if not given; the divergence weighs 1e-4 per number
    of the latent, theirs about 1e-6; the paper judges no images.

    Args:
        autoencoder: what is trained.
        scoring: how image and D(E(image)) are compared.
        losses: differences that are made small; L1 and SSIM if not given. LPIPSResidual is the perceptual one.
        weights: of each, >= 0; 1 and 0.2 if neither is given.
        kl: weight of the divergence, >= 0.
        adversary: a network that tells reconstructions from photographs, trained along with the autoencoder, which
            learns to deceive it; none if not given.
        crop: side of the random crops that are trained on, in pixels, a multiple of the autoencoder's factor; None:
            whole frames. Convolutions learn as much from a crop, at a fraction of the cost.

    Raises:
        ValueError: a number lies outside its range.
    """

    cross_fits: ClassVar[bool] = False  # one autoencoder is what others are trained on
    ignored = frozenset({"autoencoder", "losses", "weights", "kl", "adversary", "crop"})

    def __init__(
        self,
        autoencoder: ConvAutoencoder,
        scoring: Scoring,
        losses: Sequence[Residual] | None = None,
        weights: Sequence[float] | None = None,
        kl: float = 1e-4,
        adversary: PatchDiscriminator | None = None,
        crop: int | None = 128,
    ) -> None:
        super().__init__(PixelCodec(), scoring, versions=1)
        if losses is None and weights is None:
            losses, weights = [L1Residual(), SSIMResidual()], [1.0, 0.2]
        self.losses = nn.ModuleList(losses or [L1Residual()])
        self.loss_weights = tuple(weights or [1.0] * len(self.losses))
        if len(self.loss_weights) != len(self.losses) or min(self.loss_weights) < 0:
            raise ValueError(f"`weights` must be {len(self.losses)} numbers >= 0, one per loss, got {weights}.")
        if kl < 0:
            raise ValueError(f"`kl` must not be negative, got {kl}.")
        if crop is not None and (crop < 1 or crop % autoencoder.factor):
            raise ValueError(f"`crop` must be a multiple of the autoencoder's factor {autoencoder.factor}, got {crop}.")
        self.autoencoder, self.kl, self.crop = autoencoder, kl, crop
        self.adversary = adversary

    def restore(self, batch: ImageBatch, x_0: Encoded) -> Reconstructed:
        """D(E(image))."""
        return Reconstructed(self.autoencoder.pixels(self.autoencoder.encode(x_0))[:, None], nfe=0)

    def configure_optimizers(self) -> Any:
        """AdamW with the usual schedule, unless the config names an optimiser."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-2)
        schedule = warmup_then_cosine(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_loss(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Loss of a batch; its draws depend on seed, step and process, so that a resumed run repeats them."""
        seed = mix(torch.initial_seed() % 2**31, self.global_step, batch_idx, self.global_rank)
        generator = Generator(self.device).manual_seed(seed)
        image, valid = self._cropped(batch, generator)
        mean, log_variance = self.autoencoder.posterior(image)
        noise = torch.empty_like(mean).normal_(generator=generator) if self.kl else torch.zeros_like(mean)
        rebuilt = self.autoencoder.decode(mean + (log_variance / 2).exp() * noise)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        loss = self.difference(image, rebuilt, valid) + self.kl * divergence
        if self.adversary is not None:
            loss = loss + self.adversary.loss(image, rebuilt, self.global_step)
        return loss

    def difference(self, image: Images, rebuilt: Images, valid: Masks) -> Tensor:
        """The weighted sum of all losses, averaged over the pixels of the photographs."""
        terms = zip(self.losses, self.loss_weights, strict=True)
        total = torch.stack([weight * residual(image, rebuilt) for residual, weight in terms]).sum(0)
        return (total * valid).sum() / valid.sum().clamp(min=1)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> Prediction:  # type: ignore[override]
        """The verdict on a batch; `val/loss` is the difference of normal images, by which the best step is chosen."""
        prediction = super().validation_step(batch, batch_idx)
        normal, loss = ~batch.label, batch.image.new_zeros(())
        if normal.any():
            rebuilt = prediction.reconstruction[normal, 0]
            loss = self.difference(batch.image[normal], rebuilt, batch.valid[normal])
        # with no weight where there are none: a process that logs nothing lets the others wait for ever
        self.log("val/loss", loss, batch_size=int(normal.sum()), on_epoch=True, sync_dist=True)
        return prediction

    def _cropped(self, batch: ImageBatch, generator: Generator) -> tuple[Images, Masks]:
        """The same random window of all images of a batch, and which of its pixels are photograph."""
        height, width = batch.image.shape[-2:]
        H, W = min(self.crop or height, height), min(self.crop or width, width)
        top, left = (
            int(torch.randint(rest + 1, (), generator=generator, device=generator.device))
            for rest in (height - H, width - W)
        )
        window = (..., slice(top, top + H), slice(left, left + W))
        return batch.image[window], batch.valid[window]
