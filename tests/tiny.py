"""Detectors on the tiny pipeline, and diffusers' own img2img on the same, in double precision.

Two programs that do the same differ by rounding only, and how far rounding is carried is up to the weights: with those
of `tuned` at full weight, float32 gave 2e-5 to 2e-4, after the instructions of the CPU. In float64 the same walks agree
to 1e-13; a tolerance of 1e-9 leaves room for every CPU and none for another formula.
"""

import torch

from anomaly_diffusion.baselines.lora import LoRA, LoRADetector
from anomaly_diffusion.baselines.pipeline import Pipeline
from anomaly_diffusion.baselines.stable_diffusion import StableDiffusionDetector
from anomaly_diffusion.baselines.strength import Strengths
from anomaly_diffusion.codecs.latent import Against
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.diffusion.objective import MinSNR, Objective
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.scoring.scorer import Scoring

EXACT = {"rtol": 0, "atol": 1e-9}
SIDE = 64
PROMPT, NEGATIVE = "a photo of a flawless brick", "crack"
LAYERS = LoRA(rank=2, alpha=6.0)


def walk(strength: float = 0.6, steps: int = 3) -> PartialDiffusion:
    return PartialDiffusion(Strengths([strength]), steps)


def untrained(folder, reconstruction=None, against: Against | None = None, **settings) -> StableDiffusionDetector:
    pipeline = Pipeline(str(folder), **{"prompt": PROMPT, **settings})
    return StableDiffusionDetector(pipeline, reconstruction or walk(), Scoring(), against=against).eval()


def tuned(folder, lora_weight: float = 1.0, lora: LoRA = LAYERS, **settings) -> LoRADetector:
    """A detector whose additions are as after some training."""
    pipeline = Pipeline(str(folder), **{"prompt": PROMPT, **settings})
    objective = Objective(weighting=MinSNR())
    detector = LoRADetector(pipeline, lora, objective, walk(), Scoring(), lora_weight=lora_weight).eval()
    generator = torch.Generator().manual_seed(7)
    for weight in detector.parameters():
        torch.nn.init.normal_(weight, std=0.5, generator=generator)
    return detector


def img2img_of_diffusers(folder, **settings):
    """The pipeline of diffusers in float64, with a DDIM scheduler of the given settings and its table in float64."""
    from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

    whole = StableDiffusionImg2ImgPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    whole.set_progress_bar_config(disable=True)
    config = whole.scheduler.config
    whole.scheduler = DDIMScheduler.from_config(config, **settings)
    whole.scheduler.alphas_cumprod = exact_table(config)
    whole.scheduler.final_alpha_cumprod = (
        torch.ones((), dtype=torch.float64) if settings.get("set_alpha_to_one") else whole.scheduler.alphas_cumprod[0]
    )
    return in_double(whole)


def in_double(whole):
    """A pipeline whose networks, and the LoRA that it has loaded by now, are in float64."""
    for network in (whole.unet, whole.vae, whole.text_encoder):
        network.double()
    return whole


def exact_table(config) -> torch.Tensor:
    """The cumulative products of DDIMScheduler for `scaled_linear` betas, which it rounds to float32."""
    ends = config.beta_start**0.5, config.beta_end**0.5
    betas = torch.linspace(*ends, config.num_train_timesteps, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0)


def doubled(detector: DiffusionDetector, whole) -> DiffusionDetector:
    """The detector in float64, told its prompts by the text encoder of `whole`, which is in float64 as well."""
    guided, prompts = detector.backbone.guidance != 1, detector.backbone.prompts
    told, untold = whole.encode_prompt(PROMPT, "cpu", 1, guided, NEGATIVE if guided else None)
    exact = torch.cat([untold, told]) if guided else told
    torch.testing.assert_close(prompts.double(), exact, rtol=1e-4, atol=1e-4)  # it was the same text
    detector.double()
    detector.backbone.prompts = exact
    return detector
