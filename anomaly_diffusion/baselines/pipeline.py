"""Stable Diffusion as it is published: found by name or folder, and taken apart into what this house knows.

The only file that loads pipelines of diffusers.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomaly_diffusion.diffusion.parametrisation import (
    ImagePrediction,
    NoisePrediction,
    Parametrisation,
    VelocityPrediction,
)
from anomaly_diffusion.diffusion.schedule import LinearBetaSchedule, ScaledLinearSchedule, Schedule
from anomaly_diffusion.settings import Configured

__all__ = ["Parts", "Pipeline", "library", "parametrisation_of", "schedule_of"]

_TARGETS: dict[str, Callable[[], Parametrisation]] = {
    "epsilon": NoisePrediction,
    "sample": ImagePrediction,
    "v_prediction": VelocityPrediction,
}
_SCHEDULES = {"linear": LinearBetaSchedule, "scaled_linear": ScaledLinearSchedule}
_SAMPLED = 64  # weights of each tensor that tell it from another one: all of them would take seconds


@dataclass(frozen=True)
class Parts:
    """What a pipeline is made of.

    Attributes:
        unet: network (x_t, timestep, prompt) -> output.
        vae: from pixels to latents, and back.
        prompts: embeddings of the negative prompt, where there is guidance, and of the prompt, (1 or 2, tokens, width).
        schedule: noise schedule, alpha_t and sigma_t.
        parametrisation: what the UNet predicts.
        digest: tells its weights from others.
    """

    unet: Any
    vae: Any
    prompts: Float[Tensor, "P L D"]
    schedule: Schedule
    parametrisation: Parametrisation
    digest: str


@dataclass(frozen=True)
class Pipeline(Configured):
    """Which Stable Diffusion, what it is told, and how much memory it may take.

    Args:
        model: name on the Hugging Face hub, or a folder in the format of diffusers; Stable Diffusion 1.x or 2.x.
        prompt: what normal images show, in words.
        negative_prompt: what they do not show; heard only with guidance.
        guidance: classifier-free guidance w, >= 1; output = negative + w * (prompt - negative). 1 asks the UNet once
            an evaluation, anything else twice. Above 1 it leads away from the input.
        precision: number format of the frozen networks.
        slicing: whether attention is computed head by head, which is slower and takes less memory.
        chunk: images that pass through the networks together, >= 1.

    Raises:
        ValueError: `guidance` or `chunk` is less than 1.
    """

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    prompt: str = ""
    negative_prompt: str = ""
    guidance: float = 1.0
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    slicing: bool = False
    chunk: int = 8

    def __post_init__(self) -> None:
        if not self.guidance >= 1:
            raise ValueError(f"`guidance` must be at least 1, which is none, got {self.guidance}.")
        if self.chunk < 1:
            raise ValueError(f"`chunk` must be at least 1, got {self.chunk}.")

    @torch.no_grad()
    def load(self) -> Parts:
        """Read the weights and embed the prompts; the text encoder is dropped afterwards.

        Raises:
            ImportError: transformers is not installed.
            FileNotFoundError: the model is neither here nor to be had.
            ValueError: it is no Stable Diffusion that can be used.
        """
        whole, precision = self._pretrained(), getattr(torch, self.precision)
        guided = self.guidance != 1
        told, untold = whole.encode_prompt(self.prompt, "cpu", 1, guided, self.negative_prompt if guided else None)
        if self.slicing:
            whole.enable_attention_slicing()
        return Parts(
            unet=nn.Module.to(whole.unet, precision),  # that of diffusers warns
            vae=nn.Module.to(whole.vae, precision),
            prompts=(torch.cat([untold, told]) if guided else told).to(precision),
            schedule=schedule_of(whole.scheduler.config),
            parametrisation=parametrisation_of(whole.scheduler.config),
            digest=_digest(whole.unet, whole.vae),
        )

    def _pretrained(self) -> Any:
        library("transformers")
        diffusers = library("diffusers")
        if not Path(self.model).is_dir() and (self.model.count("/") != 1 or self.model[0] in "./~"):
            raise FileNotFoundError(
                f"`model` must be a folder or a name on the hub, there is none at {Path(self.model).absolute()}."
            )
        logging = diffusers.utils.logging
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # one message is enough
        try:
            return diffusers.StableDiffusionPipeline.from_pretrained(
                self.model, safety_checker=None, requires_safety_checker=False
            )
        except (OSError, ValueError) as error:  # diffusers wraps whatever the hub says in either
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FileNotFoundError(self._absent(reason)) from None
        finally:
            logging.set_verbosity(verbosity)

    def _absent(self, reason: str) -> str:
        """One message, in a line that is not cut: the model, where it should be, how to get it there."""
        if Path(self.model).is_dir():
            place = Path(self.model).absolute()
            return f"{place} holds no Stable Diffusion in the format of diffusers ({reason[:160]})."
        from huggingface_hub import constants

        place = Path(constants.HF_HUB_CACHE) / f"models--{self.model.replace('/', '--')}"
        found = f"not complete in {place} ({reason[:60]})" if place.is_dir() else f"none in {place}"
        offline = "HF_HUB_OFFLINE=0 " if constants.HF_HUB_OFFLINE else ""
        return (
            f"The weights of {self.model} are not on this machine: {found}. Download them once: "
            f'{offline}hf download {self.model} --exclude "v1-5-pruned*" --exclude "*.bin"  '
            "Or name a folder: --model.init_args.pipeline.model FOLDER"
        )


def library(name: str) -> Any:
    """The package `name`, without bars that tell the progress of reading files; those of downloads stay.

    Raises:
        ImportError: it is not installed.
    """
    try:
        package = importlib.import_module(name)
    except ImportError:
        raise ImportError(f"{name} is not installed. Run: pip install 'anomaly-diffusion[baselines]'") from None
    if name in ("diffusers", "transformers"):
        importlib.import_module(f"{name}.utils.logging").disable_progress_bar()
    return package


def schedule_of(config: Any) -> Schedule:
    """The schedule of a scheduler of diffusers; its timestep i is the state t = (i + 1) / T of ours.

    Args:
        config: settings of the scheduler.

    Raises:
        ValueError: its noise grows in a way unknown here.
    """
    kind = config["beta_schedule"]
    if kind not in _SCHEDULES or config.get("trained_betas") or config.get("rescale_betas_zero_snr"):
        raise ValueError(f"`beta_schedule` of the model must be {' or '.join(_SCHEDULES)}, unscaled, got {kind}.")
    return _SCHEDULES[kind](config["beta_start"], config["beta_end"], config["num_train_timesteps"])


def parametrisation_of(config: Any) -> Parametrisation:
    """What the UNet predicts, by the settings of its scheduler.

    Raises:
        ValueError: the kind is unknown.
    """
    kind = config.get("prediction_type", "epsilon")
    if kind not in _TARGETS:
        raise ValueError(f"`prediction_type` of the model must be among {', '.join(_TARGETS)}, got {kind}.")
    return _TARGETS[kind]()


def _digest(*networks: nn.Module) -> str:
    digest = blake2b(digest_size=8)
    for network in networks:
        for name, tensor in network.state_dict().items():
            flat = tensor.flatten()
            sampled = flat[:: max(1, len(flat) // _SAMPLED)].double()
            digest.update(name.encode() + sampled.numpy().tobytes())
    return digest.hexdigest()
