import pytest
import torch
from analytic import exact_denoiser, normal_images, spied

from anomaly_diffusion.diffusion.parametrisation import NoisePrediction


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
