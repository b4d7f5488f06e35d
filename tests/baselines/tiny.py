"""Detectors on the tiny pipeline."""

import torch

from anomaly_diffusion.baselines.lora import LoRA, LoRADetector
from anomaly_diffusion.baselines.pipeline import Pipeline
from anomaly_diffusion.baselines.stable_diffusion import StableDiffusionDetector
from anomaly_diffusion.baselines.strength import Strengths
from anomaly_diffusion.diffusion.objective import MinSNR, Objective
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.scoring.scorer import Scoring

SIDE = 64
PROMPT, NEGATIVE = "a photo of a flawless brick", "crack"
LAYERS = LoRA(rank=2, alpha=6.0)


def walk(strength: float = 0.6, steps: int = 3) -> PartialDiffusion:
    return PartialDiffusion(Strengths([strength]), steps)


def untrained(folder, reconstruction=None, round_trip: bool = False, **settings) -> StableDiffusionDetector:
    pipeline = Pipeline(str(folder), **{"prompt": PROMPT, **settings})
    return StableDiffusionDetector(pipeline, reconstruction or walk(), Scoring(), round_trip=round_trip).eval()


def tuned(folder, lora_weight: float = 1.0, lora: LoRA = LAYERS, **settings) -> LoRADetector:
    """A detector whose additions are as after some training."""
    pipeline = Pipeline(str(folder), **{"prompt": PROMPT, **settings})
    objective = Objective(weighting=MinSNR())
    detector = LoRADetector(pipeline, lora, objective, walk(), Scoring(), lora_weight=lora_weight).eval()
    generator = torch.Generator().manual_seed(7)
    for weight in detector.parameters():
        torch.nn.init.normal_(weight, std=0.5, generator=generator)
    return detector
