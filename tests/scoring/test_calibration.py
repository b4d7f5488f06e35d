import pytest
import torch
from analytic import seeded
from torch import Tensor

from anomaly_diffusion.scoring.calibration import Calibration, moments
from anomaly_diffusion.scoring.residual import GradientSimilarityResidual, L1Residual, L2Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring

VALID = torch.rand(6, 1, 12, 15, generator=seeded(7)) > 0.2


def _correlated_maps() -> Tensor:
    """Four residual maps of six images, of very different scale, skewed and correlated, as real ones are."""
    base = torch.randn(6, 4, 12, 15, generator=seeded()).exp()
    mixing = torch.tensor([[1.0, 0.5, 0.0, 0.1], [0.0, 1.0, 0.9, 0.0], [0.0, 0.0, 1e-4, 0.0], [20.0, 0.0, 0.0, 3.0]])
    return torch.einsum("mn,bnhw->bmhw", mixing, base)


def _fitted(maps: Tensor) -> Calibration:
    calibration = Calibration(maps.shape[1])
    calibration.fit(moments(maps, VALID))
    return calibration


def _standardised(calibration: Calibration, maps: Tensor) -> Tensor:
    mean, std = calibration.statistics(maps)
    return (maps - mean) / std


def _assert_standard(maps: Tensor) -> None:
    pixels = maps.transpose(0, 1).flatten(1)[:, VALID.flatten()].double()
    torch.testing.assert_close(pixels.mean(1), torch.zeros(len(pixels), dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        pixels.var(1, correction=0), torch.ones(len(pixels), dtype=torch.float64), rtol=0, atol=1e-5
    )


def test_every_standardised_map_has_mean_zero_and_spread_one_on_normals() -> None:
    maps = _correlated_maps()
    _assert_standard(_standardised(_fitted(maps), maps))


@pytest.mark.parametrize("weights", [[1.0, 1.0], [3.0, 0.5], [0.0, 1.0]])
def test_every_depth_and_their_fusion_have_mean_zero_and_spread_one_on_normals(weights: list[float]) -> None:
    maps, scoring = _correlated_maps(), Scoring([L1Residual(), SSIMResidual()], weights=weights)
    depth_maps, anomaly_map = scoring.judge(maps, _fitted(maps))
    _assert_standard(depth_maps)
    _assert_standard(anomaly_map)


def test_the_unit_of_a_residual_does_not_matter() -> None:
    maps, scoring = _correlated_maps().double(), Scoring([L1Residual(), L2Residual()])
    scaled = maps * torch.tensor([1.0, 100.0, 5.0, 0.07])[:, None, None] + 3
    for ours, theirs in zip(scoring.judge(maps, _fitted(maps)), scoring.judge(scaled, _fitted(scaled)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_one_map_alone_is_fused_into_itself() -> None:
    maps = _correlated_maps()[:, :1]
    calibration = _fitted(maps)
    depth_maps, anomaly_map = Scoring([L1Residual()]).judge(maps, calibration)
    torch.testing.assert_close(depth_maps, _standardised(calibration, maps))
    torch.testing.assert_close(anomaly_map, _standardised(calibration, maps))


def test_a_residual_of_weight_zero_has_no_say() -> None:
    maps, scoring = _correlated_maps(), Scoring([L1Residual(), L2Residual()], weights=[1.0, 0.0])
    other = maps.clone()
    other[:, 1::2] = torch.rand(6, 2, 12, 15, generator=seeded(3))
    for ours, theirs in zip(scoring.judge(maps, _fitted(maps)), scoring.judge(other, _fitted(other)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_moments_add_up_over_any_split() -> None:
    maps = _correlated_maps()
    whole = moments(maps, VALID)
    parts = _fitted(maps).no_moments(maps.shape[-2:])
    for a, b in ((0, 1), (1, 4), (4, 6)):
        parts = parts.plus(moments(maps[a:b], VALID[a:b]))
    torch.testing.assert_close(tuple(parts), tuple(whole), rtol=1e-12, atol=0)


def test_statistics_are_those_of_torch() -> None:
    maps = _correlated_maps()
    calibration, pixels = _fitted(maps), maps.transpose(0, 1).flatten(1)[:, VALID.flatten()].double()
    torch.testing.assert_close(calibration.mean, pixels.mean(1))
    torch.testing.assert_close(calibration.covariance, torch.cov(pixels, correction=0), rtol=1e-7, atol=1e-12)
    assert calibration.count == VALID.sum()


def test_invalid_pixels_leave_no_trace() -> None:
    maps = _correlated_maps()
    for other, ours in zip(moments(maps.masked_fill(~VALID, 1e9), VALID), moments(maps, VALID), strict=True):
        assert torch.equal(other, ours)


def _by_position(maps: Tensor, calibration_sigma: float, floor: float = 1.0) -> Calibration:
    calibration = Calibration(maps.shape[1], calibration_sigma, floor)
    calibration.fit(moments(maps, torch.ones_like(maps[:, :1], dtype=torch.bool)))
    return calibration


def test_a_position_that_always_stands_out_is_normal_there_only() -> None:
    maps = torch.randn(64, 2, 12, 15, generator=seeded())
    maps[:, :, :, :5] += 6
    placed, alike = _standardised(_by_position(maps, 0.4), maps), _standardised(_by_position(maps, 1e3), maps)
    assert placed[..., :4].mean().abs() < 0.25 < 0.5 < alike[..., :4].mean()
    moved = maps.roll(8, dims=-1)  # the same values elsewhere
    assert _standardised(_by_position(maps, 0.4), moved)[..., 9:12].mean() > 1.5


def test_where_images_have_hardly_varied_a_deviation_counts_as_anywhere() -> None:
    maps = torch.randn(64, 1, 12, 15, generator=seeded())
    maps[..., :5] *= 0.1
    maps[..., 10:] *= 3
    calibration = _by_position(maps, 0.4)
    deviation = calibration.placed[1, 0]
    assert deviation[:, :9].max() == pytest.approx(float(maps.std()), rel=0.01)
    assert deviation[:, 11:].mean() == pytest.approx(3, rel=0.15)


def test_without_a_floor_a_quiet_place_is_looked_at_closely_as_far_as_images_can_tell() -> None:
    def deviation(count: int, floor: float) -> float:
        maps = torch.randn(count, 1, 12, 15, generator=seeded())
        maps[..., :5] = 0
        calibration = _by_position(maps, 0.4, floor)
        assert float(calibration.fitted_to(moments(maps, torch.ones_like(maps) > 0)).placed[1, 0, 6, 1]) == (
            pytest.approx(float(calibration.placed[1, 0, 6, 1]))
        )
        return float(calibration.placed[1, 0, 6, 1] / maps.std())

    for count in (8, 24, 56):  # the statistics of all positions count for eight images
        assert deviation(count, 0.0) == pytest.approx((8 / (8 + count)) ** 0.5, rel=0.02)
        assert deviation(count, 0.9) == pytest.approx(0.9, rel=0.02)


def test_a_floor_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`calibration_floor` must lie in \[0, 1\], got 2"):
        Scoring([L1Residual()], calibration_floor=2.0)


def test_a_mean_of_many_deviations_costs_no_accuracy() -> None:
    maps = torch.randn(64, 2, 12, 15, generator=seeded())
    near, far = (_by_position((maps + away).double(), 0.4).placed for away in (0.0, 1e4))
    torch.testing.assert_close(far[1], near[1], rtol=1e-3, atol=0)
    torch.testing.assert_close(far[0] - 1e4, near[0], rtol=0, atol=2e-3)


def test_with_few_images_a_position_trusts_all_the_others() -> None:
    maps = torch.randn(2, 1, 12, 15, generator=seeded())
    deviation = _by_position(maps, 0.3).placed[1]
    assert deviation.min() > 0.7
    assert deviation.max() < 1.5


def test_positions_of_another_size_are_refused() -> None:
    maps = torch.randn(4, 1, 12, 15, generator=seeded())
    with pytest.raises(ValueError, match="12 x 15 pixels, got 12 x 14"):
        _standardised(_by_position(maps, 1.0), maps[..., :14])


def test_a_calibration_survives_its_state_dict() -> None:
    maps = _correlated_maps()
    restored = Calibration(4)
    assert not restored.fitted
    restored.load_state_dict(_fitted(maps).state_dict())
    assert restored.fitted
    assert torch.equal(_standardised(restored, maps), _standardised(_fitted(maps), maps))


def test_a_residual_that_never_varies_gives_finite_maps() -> None:
    maps = torch.zeros(6, 1, 12, 15)
    depth_maps, anomaly_map = Scoring([L1Residual()]).judge(maps, _fitted(maps))
    assert not depth_maps.any()
    assert not anomaly_map.any()


def test_maps_are_ordered_by_depth_and_then_by_residual() -> None:
    image = torch.rand(2, 3, 20, 20, generator=seeded())
    reconstruction = torch.rand(2, 2, 3, 20, 20, generator=seeded(1))
    parts = [L1Residual(), GradientSimilarityResidual()]
    maps = Scoring(parts, smoothing=0.0).compare(image, reconstruction, image.shape[-2:])
    expected = [part(image, reconstruction[:, depth]) for depth in range(2) for part in parts]
    assert torch.equal(maps, torch.cat(expected, dim=1))


def test_mixed_precision_leaves_scores_alone() -> None:
    image, reconstruction = (
        torch.rand(1, 3, 20, 20, generator=seeded()),
        torch.rand(1, 2, 3, 20, 20, generator=seeded(1)),
    )
    scoring = Scoring([SSIMResidual(), GradientSimilarityResidual()])
    maps, calibration = scoring.compare(image, reconstruction, image.shape[-2:]), Calibration(4)
    calibration.fit(moments(maps, torch.ones(1, 1, 20, 20, dtype=torch.bool)))
    _, expected = scoring.judge(maps, calibration)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scoring.compare(image, reconstruction, image.shape[-2:]), maps)
        assert torch.equal(scoring.judge(maps, calibration)[1], expected)


def _least(maps: Tensor, chosen: list[list[float]]) -> Tensor:
    return _fitted(maps).of_least_variance(torch.tensor(chosen, dtype=torch.float))


def test_weights_of_least_variance_leave_out_what_is_not_chosen_and_sum_to_one() -> None:
    weights = _least(_correlated_maps(), [[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 3]])
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
    assert weights[1, 1] == weights[1, 3] == 0
    assert weights[2].tolist() == [0, 0, 0, 1]


def test_maps_that_say_the_same_count_once() -> None:
    one, two = torch.randn(2, 6, 1, 40, 40, generator=seeded(3)).unbind(0)
    calibration, maps = (
        Calibration(4),
        torch.cat([one, one + 1e-3 * torch.randn(one.shape, generator=seeded(4)), one, two], dim=1),
    )
    calibration.fit(moments(maps, torch.ones(6, 1, 40, 40, dtype=torch.bool)))
    weights = calibration.of_least_variance(torch.ones(1, 4))[0]
    assert 0.45 < weights[:3].sum() < 0.55


def test_no_other_weights_vary_less() -> None:
    maps = _correlated_maps()
    calibration = _fitted(maps)
    correlation = 0.9 * calibration._correlation + 0.1 * torch.eye(4)
    best = calibration.of_least_variance(torch.ones(1, 4))[0]
    others = torch.rand(2000, 4, generator=seeded(5), dtype=torch.float64)
    others /= others.sum(1, keepdim=True)
    variance = torch.einsum("fm,mn,fn->f", others, correlation, others)
    assert best @ correlation @ best <= variance.min()


def test_maps_fused_with_least_variance_are_standard_and_leave_zero_weights_out() -> None:
    maps = _correlated_maps()
    scoring = Scoring([L1Residual(), SSIMResidual()], weights="least_variance")
    for found in scoring.judge(maps, _fitted(maps)):
        _assert_standard(found)
    one_depth = Scoring([L1Residual()] * 4, weights="least_variance").judge(maps, _fitted(maps))[1]
    weights = _least(maps, [[1, 1, 1, 1]])
    torch.testing.assert_close(one_depth, _fitted(maps).fuse(_standardised(_fitted(maps), maps), weights))
