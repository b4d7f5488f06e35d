import pytest
import torch
from analytic import exact_denoiser, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.parametrisation import NoisePrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import Backbone


def test_one_time_serves_the_whole_batch() -> None:
    denoiser, x_t = exact_denoiser(), normal_images(3, 1, 4, 4)
    t = torch.tensor(0.4, dtype=torch.float64)
    assert torch.equal(denoiser(x_t, t).x_0, denoiser(x_t, t.expand(3)).x_0)


def test_each_image_may_have_its_own_time() -> None:
    denoiser, x_t = exact_denoiser(parametrisation=NoisePrediction()), normal_images(3, 1, 4, 4)
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    alone = torch.cat([denoiser(x_t[index : index + 1], t[index]).x_0 for index in range(3)])
    torch.testing.assert_close(denoiser(x_t, t).x_0, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_time_reaches_the_network_in_the_type_of_the_image(dtype: torch.dtype) -> None:
    denoiser, spy = spied(exact_denoiser())
    denoiser(normal_images(2, 1, 4, 4).to(dtype), torch.tensor(0.5))
    assert spy.calls[0][1].dtype == dtype


class TellingBackbone(Backbone):
    """Returns a number that depends on image, time and category, so that none can be mistaken for another's."""

    classes = 3

    def forward(self, x_t: Tensor, t: Tensor, category: Tensor | None = None) -> Tensor:
        told = torch.zeros_like(t) if category is None else category.to(t)
        return x_t * (1 + t + 10 * told)[:, None, None, None]


def test_each_image_is_told_its_own_category() -> None:
    denoiser = Denoiser(TellingBackbone(), CosineSchedule(), NoisePrediction())
    x_t, t = normal_images(5, 1, 4, 4), torch.linspace(0.2, 0.8, 5, dtype=torch.float64)
    category = torch.tensor([0, 2, 1, 1, 2])
    alone = [denoiser.conditioned_on(category[i : i + 1])(x_t[i : i + 1], t[i]).x_0 for i in range(5)]
    assert torch.equal(denoiser.conditioned_on(category)(x_t, t).x_0, torch.cat(alone))
