"""Large photographs in strips: nobody sees where one strip ends and the next begins."""

import pytest
import torch
from analytic import seeded
from torch import Tensor

from anomaly_diffusion.scoring.calibration import Calibration, moments
from anomaly_diffusion.scoring.residual import (
    GradientSimilarityResidual,
    L1Residual,
    L2Residual,
    Residual,
    SSIMResidual,
)
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.scoring.smoothing import GaussianSmoothing
from anomaly_diffusion.scoring.strips import by_strips, strips

SIZE = (700, 900)
PART, REACH = slice(200, 480), 32  # rows that are one strip by themselves, but two of the photograph


def photograph(channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(1, channels, *SIZE, generator=seeded(seed)) * 2 - 1


def test_strips_are_all_rows_once_and_a_frame_is_one() -> None:
    assert [row for part in strips(*SIZE) for row in range(SIZE[0])[part]] == list(range(SIZE[0]))
    assert len(strips(*SIZE)) > 2
    assert strips(*SIZE)[0].stop in range(SIZE[0])[PART]
    assert strips(512, 512) == [slice(0, 512)]
    assert len(strips(3, 10**6)) == 3  # a row at a time, where it alone is longer


@pytest.mark.parametrize(
    "residual",
    [L1Residual(), L2Residual(), SSIMResidual(), SSIMResidual(4.0), GradientSimilarityResidual(1)],
    ids=lambda residual: type(residual).__name__,
)
def test_a_residual_is_the_same_to_the_bit_wherever_strips_end(residual: Residual) -> None:
    image, other = photograph(), photograph(seed=1)
    whole, part = residual(image, other), residual(image[..., PART, :], other[..., PART, :])
    assert torch.equal(whole[..., PART, :][..., REACH:-REACH, :], part[..., REACH:-REACH, :])


def test_coarser_scales_of_gradients_are_the_same_wherever_strips_end() -> None:
    image, other = photograph(), photograph(seed=1)
    residual = GradientSimilarityResidual(3)
    whole, part = residual(image, other), residual(image[..., PART, :], other[..., PART, :])
    torch.testing.assert_close(whole[..., PART, :][..., REACH:-REACH, :], part[..., REACH:-REACH, :])


def test_maps_are_smoothed_to_the_bit_wherever_strips_end() -> None:
    maps, smoothing = photograph(2), GaussianSmoothing(5.0)
    assert torch.equal(
        smoothing(maps)[..., PART, :][..., REACH:-REACH, :], smoothing(maps[..., PART, :])[..., REACH:-REACH, :]
    )


@pytest.mark.parametrize("settings", [{}, {"calibration_sigma": 2.0}, {"two_sided": True}])
def test_maps_of_a_large_photograph_are_fused_as_those_of_its_parts(settings: dict[str, object]) -> None:
    size, half = (1100, 1000), slice(0, 550)
    scoring = Scoring([L1Residual(), L2Residual()], **settings)
    maps = torch.rand(1, 4, *size, generator=seeded())
    valid = torch.rand(1, 1, *size, generator=seeded(1)) > 0.1
    calibration = scoring.calibration(4)
    calibration.fit(calibration.moments(maps, valid))
    upper = scoring.calibration(4)
    upper.load_state_dict(calibration.state_dict())
    upper.placed = calibration.placed[..., half, :] if calibration.neighbourhood else calibration.placed
    for whole, part in zip(scoring.judge(maps, calibration), scoring.judge(maps[..., half, :], upper), strict=True):
        torch.testing.assert_close(whole[..., half, :], part)


def test_sums_over_a_large_photograph_are_those_over_its_parts() -> None:
    maps, valid = torch.rand(1, 3, 1100, 1000, generator=seeded()), torch.rand(1, 1, 1100, 1000) > 0.1
    whole = moments(maps, valid, placed=False).products
    parts = [moments(maps[..., half, :], valid[..., half, :], placed=False).products for half in strips(1100, 550)]
    torch.testing.assert_close(whole, sum(parts))
    fitted = Calibration(3)
    fitted.fit(moments(maps, valid, placed=False))
    expected = maps[0, :, valid[0, 0]].double().mean(1)
    torch.testing.assert_close(fitted.mean, expected)


def test_what_all_rows_have_in_common_is_given_to_each_strip() -> None:
    maps, factor = photograph(2), torch.tensor([2.0, 3.0])[:, None, None]
    assert torch.equal(by_strips(torch.mul, 0, maps, factor), maps * factor)
