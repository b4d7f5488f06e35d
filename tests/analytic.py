"""Ground truth: data whose best denoiser is known in closed form, and doubles that record what they are asked."""

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Generator, Tensor, nn

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.parametrisation import ImagePrediction, Parametrisation
from anomaly_diffusion.diffusion.schedule import CosineSchedule, Schedule
from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.networks.unet import Backbone
from anomaly_diffusion.types import Estimate, ImageBatch, Images, Times, like


class ExactBackbone(Backbone):
    """The best possible network for images whose pixels are independent N(mean, spread^2), whatever it has to predict.

    E[x_0 | x_t] = mean + alpha_t * spread^2 / (alpha_t^2 * spread^2 + sigma_t^2) * (x_t - alpha_t * mean)
    """

    def __init__(self, schedule: Schedule, parametrisation: Parametrisation, mean: float, spread: float) -> None:
        super().__init__()
        self.schedule, self.parametrisation = schedule, parametrisation
        self.mean, self.spread = mean, spread

    def forward(self, x_t: Images, t: Times) -> Images:
        alpha_t, sigma_t = self.schedule(t)
        exact = self.posterior(x_t, like(alpha_t, x_t), like(sigma_t, x_t))
        return self.parametrisation.target(exact.x_0, exact.noise, alpha_t, sigma_t)

    def posterior(self, x_t: Images, alpha_t: Tensor, sigma_t: Tensor) -> Estimate:
        shrink = alpha_t * self.spread**2 / (alpha_t**2 * self.spread**2 + sigma_t**2)
        x_0 = self.mean + shrink * (x_t - alpha_t * self.mean)
        return Estimate(x_0, (x_t - alpha_t * x_0) / sigma_t)


def exact_denoiser(
    schedule: Schedule | None = None,
    parametrisation: Parametrisation | None = None,
    mean: float = 0.3,
    spread: float = 0.5,
) -> Denoiser:
    """The denoiser of Gaussian images."""
    schedule, parametrisation = schedule or CosineSchedule(), parametrisation or ImagePrediction()
    return Denoiser(ExactBackbone(schedule, parametrisation, mean, spread), schedule, parametrisation)


def exact_flow(
    x_t: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor], mean: float, spread: float
) -> Tensor:
    """Where the deterministic reverse process carries x_t; `start` and `end` are (alpha, sigma).

    x_s = alpha_s mean + sqrt((alpha_s^2 spread^2 + sigma_s^2) / (alpha_t^2 spread^2 + sigma_t^2)) (x_t - alpha_t mean)
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = start, end
    scale = ((alpha_s**2 * spread**2 + sigma_s**2) / (alpha_t**2 * spread**2 + sigma_t**2)).sqrt()
    return alpha_s * mean + scale * (x_t - alpha_t * mean)


class SpyBackbone(Backbone):
    """Passes every call on to another network and remembers it."""

    def __init__(self, inner: Backbone) -> None:
        super().__init__()
        self.inner = inner
        self.calls: list[tuple[Images, Times]] = []

    def forward(self, x_t: Images, t: Times) -> Images:
        self.calls.append((x_t, t))
        return self.inner(x_t, t)


def spied(denoiser: Denoiser) -> tuple[Denoiser, SpyBackbone]:
    """The same denoiser with a spy between it and its network."""
    spy = SpyBackbone(denoiser.backbone)
    return Denoiser(spy, denoiser.schedule, denoiser.parametrisation), spy


class SpyDraw:
    """Standard normal noise from one generator; remembers every field it has given."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = seeded(seed)
        self.fields: list[Images] = []

    def __call__(self, like: Images) -> Images:
        self.fields.append(torch.empty_like(like).normal_(generator=self.generator))
        return self.fields[-1]


def seeded(seed: int = 0) -> Generator:
    """A fresh generator."""
    return Generator().manual_seed(seed)


def normal_images(*shape: int, seed: int = 0, mean: float = 0.3, spread: float = 0.5) -> Tensor:
    """Images of the data that `exact_denoiser` knows, in float64."""
    return mean + spread * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def awakened(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with random numbers in place of all its zeros, as after some training."""
    generator = seeded(seed)
    for parameter in network.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return network


def image_batch(count: int, height: int = 16, width: int = 16, seed: int = 0) -> ImageBatch:
    """Random photographs; every third one is defective, and the last column of all is padding."""
    valid = torch.ones(count, 1, height, width, dtype=torch.bool)
    valid[..., -1] = False
    label = torch.arange(count) % 3 == 2
    return ImageBatch(
        image=torch.rand(count, 3, height, width, generator=seeded(seed)) * 2 - 1,
        mask=label[:, None, None, None] & valid,
        valid=valid,
        label=label,
        category=torch.zeros(count, dtype=torch.int64),
        key=torch.arange(count) * 7919 + 11,
        size=torch.tensor([[height, width]]).repeat(count, 1),
        path=[f"{index}.png" for index in range(count)],
    )


def single(batch: ImageBatch, index: int) -> ImageBatch:
    """The batch that holds one image only."""
    return batch.rows(torch.tensor([index]))


class TinyNetwork(nn.Module):
    """Two stages, of 4 and 6 channels, 2 and 4 pixels apart, the first with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> list[Tensor]:
        fine = self.norm(self.fine(image)).tanh()
        return [fine, self.coarse(fine).tanh()]


class TinyFeatures(FeatureExtractor):
    """Features of a random network, the same for the same seed, whatever was drawn before."""

    def __init__(self, stride: int = 4, neighbourhood: int = 3, repeat: bool = False, seed: int = 0) -> None:
        with isolate_rng():
            torch.manual_seed(seed)
            super().__init__(TinyNetwork(), stride, neighbourhood, repeat)

    def stages(self, image: Images) -> list[Tensor]:
        stages: list[Tensor] = self.network(image)
        return stages
