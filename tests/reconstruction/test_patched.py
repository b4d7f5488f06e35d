import pytest
import torch
from analytic import SpyDraw, exact_denoiser, normal_images, seeded, spied

from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import UniformTimes
from anomaly_diffusion.diffusion.patches import PatchedObjective, patch_masks
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.patched import PatchedOneShot
from anomaly_diffusion.types import like


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (3, 2)])
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_patches_cover_each_pixel_once(size, grid) -> None:
    masks = torch.stack(patch_masks(grid, torch.zeros(1, 3, *size)))
    assert (masks.sum(0) == 1).all()


def test_one_patch_at_a_time_is_noised_and_the_rest_is_the_image() -> None:
    denoiser, spy = spied(exact_denoiser())
    x_0, draw = normal_images(2, 3, 8, 8), SpyDraw()
    PatchedOneShot((0.7,), grid=2)(denoiser, x_0, draw)
    (noise,) = draw.fields
    for (x_t, t), mask in zip(spy.calls, patch_masks(2, x_0), strict=True):
        alpha_t, sigma_t = denoiser.schedule(t[0])
        assert torch.equal(x_t[:, :, ~mask[0]], x_0[:, :, ~mask[0]])
        assert torch.equal(x_t[:, :, mask[0]], (alpha_t * x_0 + sigma_t * noise)[:, :, mask[0]])


def test_patches_of_a_denoiser_that_sees_pixels_alone_are_a_one_shot() -> None:
    x_0 = normal_images(2, 3, 8, 8)
    patched, whole = (
        strategy(exact_denoiser(), x_0, SpyDraw(seed=1)).x_0
        for strategy in (PatchedOneShot((0.5,), grid=4), OneShot((0.5,), draws=1))
    )
    torch.testing.assert_close(patched, whole, rtol=0, atol=1e-12)


def test_only_the_patch_with_noise_is_learnt() -> None:
    """The loss is the mean square error inside the one patch that differs from the image."""
    denoiser, spy = spied(exact_denoiser())
    x_0 = normal_images(5, 3, 8, 8)
    loss = PatchedObjective(grid=2)(denoiser, GaussianNoise(), x_0, seeded())
    x_t, t = spy.calls[0]
    noised = (x_t != x_0).any(1, keepdim=True)
    assert noised.flatten(1).sum(1).tolist() == [16] * 5
    alpha_t, sigma_t = (like(scale, x_0) for scale in denoiser.schedule(t))
    noise = (x_t - alpha_t * x_0) / sigma_t
    wrong = spy.inner(x_t, t) - denoiser.parametrisation.target(x_0, noise, *denoiser.schedule(t))
    expected = (wrong.square() * noised).sum((1, 2, 3)) / 48
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)


def test_one_patch_is_the_usual_objective_but_for_its_draws() -> None:
    """Without spread among images, the exact denoiser errs by nothing at any time, patched or not."""
    x_0 = torch.full((3, 1, 6, 6), 0.3, dtype=torch.float64)
    for objective in (PatchedObjective(1, 0.1, 2.0), PatchedObjective(3, 0.1, 2.0), UniformTimes(0.1, 2.0)):
        assert objective(exact_denoiser(spread=0.0), GaussianNoise(), x_0, seeded()).max() < 1e-9
