"""What tests of all detectors share: strategies, a quiet trainer, and random photographs."""

from analytic import image_batch
from torch.utils.data import Dataset

from anomaly_diffusion.reconstruction.adaptive import AdaptiveDepth
from anomaly_diffusion.reconstruction.inversion import Inversion
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.posterior import PosteriorAverage
from anomaly_diffusion.types import ImageBatch

STRATEGIES = {
    "noise-free": OneShot((0.3, 0.8), draws=0),
    "antithetic": OneShot((0.3, 0.8), draws=2),
    "partial": PartialDiffusion((0.5,), steps=2),
    "inversion": Inversion((0.3, 0.8), steps=2),
    "posterior": PosteriorAverage((0.5,), samples=2, steps=2),
    "adaptive": OneShot(AdaptiveDepth((0.3, 0.8), threshold=2.0)),
}
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Photographs(Dataset):
    """Random photographs, for a loader that need not collate."""

    def __init__(self, batches: int) -> None:
        self.batches = [image_batch(4, seed=seed) for seed in range(batches)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> ImageBatch:
        return self.batches[index]
