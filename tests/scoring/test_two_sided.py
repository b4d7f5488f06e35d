import torch
from analytic import seeded

from anomaly_diffusion.scoring.calibration import Calibration, moments
from anomaly_diffusion.scoring.residual import L1Residual, L2Residual
from anomaly_diffusion.scoring.scorer import Scoring


def _calibrated(residuals: torch.Tensor) -> Calibration:
    calibration = Calibration(residuals.shape[1])
    calibration.fit(moments(residuals, torch.ones_like(residuals[:, :1], dtype=torch.bool)))
    return calibration


def test_two_sided_maps_see_residuals_below_normal_as_well_as_above() -> None:
    normal = torch.rand(4, 2, 16, 16, generator=seeded())
    calibration = _calibrated(normal)
    spread = normal - calibration.mean.float()[:, None, None]
    above, below = (calibration.mean.float()[:, None, None] + sign * spread for sign in (1, -1))
    two_sided = Scoring([L1Residual(), L2Residual()], two_sided=True)
    for first, second in zip(two_sided.judge(above, calibration), two_sided.judge(below, calibration), strict=True):
        torch.testing.assert_close(first, second)
    one_sided = Scoring([L1Residual(), L2Residual()])
    torch.testing.assert_close(one_sided.judge(above, calibration)[1], -one_sided.judge(below, calibration)[1])


def test_two_sided_maps_have_a_mean_square_of_one_on_normal_images() -> None:
    normal = torch.rand(8, 4, 32, 32, generator=seeded()) ** 2
    depth_maps, fused = Scoring([L1Residual(), L2Residual()], weights=[1.0, 3.0], two_sided=True).judge(
        normal, _calibrated(normal)
    )
    assert depth_maps.shape[1] == 2
    for maps in (*depth_maps.unbind(1), fused):
        torch.testing.assert_close(maps.square().mean(), torch.tensor(1.0), rtol=1e-4, atol=1e-4)
