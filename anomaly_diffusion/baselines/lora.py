"""LoRA fine-tuning of Stable Diffusion on normal images: low-rank additions to its attention, nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomaly_diffusion.baselines.pipeline import Pipeline, library
from anomaly_diffusion.baselines.stable_diffusion import PromptedDetector
from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import NoiseSource
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.settings import Configured
from anomaly_diffusion.types import Encoded, ImageBatch, Reconstructed

__all__ = ["LoRA", "LoRADetector"]

ADAPTER = "default"  # the name that diffusers and peft give where none is given
_IN_CHECKPOINT = "denoiser.backbone.unet."


@dataclass(frozen=True)
class LoRA(Configured):
    """Layers W + weight * alpha / rank * B A in place of W, with A of `rank` rows and B of as many columns.

    Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022, Eq. 3.

    Differs from the paper: layers of a diffusion model's attention get additions, theirs those of a language model; the
    weight of the additions may be lowered in scoring.

    Args:
        rank: of the additions, >= 1.
        alpha: their scale in training, > 0; equal to `rank`: B A itself.
        targets: ends of the names of the layers that get one.
        checkpointing: whether training computes activations twice to keep fewer of them.

    Raises:
        ValueError: `rank` or `alpha` is not positive.
    """

    rank: int = 8
    alpha: float = 8.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"`rank` must be at least 1, got {self.rank}.")
        if not self.alpha > 0:
            raise ValueError(f"`alpha` must be positive, got {self.alpha}.")

    def add_to(self, unet: Any) -> None:
        """Give layers of a UNet of diffusers their additions, which change nothing until they are trained.

        Raises:
            ImportError: peft is not installed.
            ValueError: it has no such layer.
        """
        config = library("peft").LoraConfig(
            r=self.rank, lora_alpha=self.alpha, init_lora_weights=True, target_modules=list(self.targets)
        )
        unet.add_adapter(config, ADAPTER)
        for weight in unet.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()  # too small to be trained in half precision
        if self.checkpointing:
            unet.enable_gradient_checkpointing()


class LoRADetector(PromptedDetector):
    """Stable Diffusion img2img, fine-tuned on normal images; the base model stays as it is.

    Once trained, the additions of the best checkpoint, or of the last where there is none, lie in the folder `lora` of
    the run, in the format of diffusers: `pipeline.load_lora_weights("runs/.../lora")`.

    Args:
        pipeline: which model, what it is told in training and scoring, and how much memory it may take.
        lora: which layers are fine-tuned and how.
        objective: which depths are learnt and how they count.
        reconstruction: how normal latents are found.
        scoring: how image and decoded latents are compared.
        noise: forward-process noise, in training and in scoring alike; white if not given.
        lora_weight: share of the additions in scoring, in [0, 1]; 0 is the base model. Training has all of them.

    Raises:
        ValueError: `lora_weight` is out of range.
    """

    ignored = PromptedDetector.ignored | {"lora_weight", "lora"}

    def __init__(
        self,
        pipeline: Pipeline,
        lora: LoRA,
        objective: Objective,
        reconstruction: Reconstruction,
        scoring: Scoring,
        noise: NoiseSource | None = None,
        lora_weight: float = 1.0,
    ) -> None:
        if not 0 <= lora_weight <= 1:
            raise ValueError(f"`lora_weight` must lie in [0, 1], got {lora_weight}.")
        library("peft")  # its absence is told before gigabytes are read
        parts = pipeline.load()
        lora.add_to(parts.unet)
        super().__init__(pipeline, parts, objective, reconstruction, scoring, noise)
        self.lora, self.lora_weight = lora, lora_weight

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the constructor, and the factor of the additions that weight, alpha and rank make together."""
        return {**super().settings, "lora": self.lora_weight * self.lora.alpha / self.lora.rank}

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Mean loss of a batch, without guidance and with all of the additions."""
        _weigh(self.backbone.unet, 1.0)
        with self.backbone.unguided():
            return super().training_step(batch, batch_idx)

    def restore(self, batch: ImageBatch, x_0: Encoded, denoiser: Denoiser | None = None) -> Reconstructed:
        """Reconstructions, with as much of the additions as `lora_weight` says.

        Args:
            batch: the images.
            x_0: the same in model space.
            denoiser: a stand-in for the detector's own.
        """
        _weigh(self.backbone.unet, self.lora_weight)  # and not back: another part may be judged at the same time
        return super().restore(batch, x_0, denoiser)

    def on_fit_end(self) -> None:
        """Write the additions of the best checkpoint for other programs."""
        if self.trainer.is_global_zero:
            best = getattr(self.trainer.checkpoint_callback, "best_model_path", "")
            state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"] if best else None
            self.export(Path(self.trainer.default_root_dir) / "lora", state)

    def export(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write the additions in the format of diffusers.

        Args:
            folder: where to.
            state: the `state_dict` of a detector like this one; its own if not given.
        """
        peft, diffusers, unet = library("peft"), library("diffusers"), self.backbone.unet
        state = self.state_dict() if state is None else state
        inside = {name.removeprefix(_IN_CHECKPOINT): weight for name, weight in state.items() if _IN_CHECKPOINT in name}
        layers = peft.get_peft_model_state_dict(unet, inside, adapter_name=ADAPTER)
        diffusers.StableDiffusionPipeline.save_lora_weights(
            folder,
            unet_lora_layers=diffusers.utils.convert_state_dict_to_diffusers(layers),
            unet_lora_adapter_metadata=unet.peft_config[ADAPTER].to_dict(),
        )


def _weigh(unet: Any, weight: float) -> None:
    """Scale the additions by `weight` from now on."""
    for module in unet.modules():
        if isinstance(module, library("peft.tuners.lora").LoraLayer):
            module.set_scale(ADAPTER, weight)
