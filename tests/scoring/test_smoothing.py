import numpy as np
import pytest
import torch
from analytic import seeded
from scipy import ndimage

from anomaly_diffusion.scoring.smoothing import GaussianSmoothing

MAPS = torch.rand(2, 3, 30, 21, generator=seeded())


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0, 9.0])
def test_smoothing_is_that_of_scipy(sigma: float) -> None:
    reference = ndimage.gaussian_filter(MAPS.double().numpy(), sigma, axes=(2, 3), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(GaussianSmoothing(sigma)(MAPS).numpy(), reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.7])
def test_a_constant_map_stays_constant(sigma: float) -> None:
    constant = torch.full((1, 1, 9, 5), 0.7)
    torch.testing.assert_close(GaussianSmoothing(sigma)(constant), constant, rtol=1e-6, atol=0)


def test_no_smoothing_changes_nothing() -> None:
    assert torch.equal(GaussianSmoothing(0.0)(MAPS), MAPS)


def test_maps_do_not_mix() -> None:
    alone = GaussianSmoothing(1.0)(MAPS[1:, 2:])
    torch.testing.assert_close(GaussianSmoothing(1.0)(MAPS)[1:, 2:], alone, rtol=0, atol=1e-6)
