import numpy as np
import pytest
import torch
from analytic import seeded

from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual

B, D, C, H, W = 40, 2, 3, 4, 5
REFERENCE = torch.randn(B, C, H, W, generator=seeded())
HEALTHY = (
    REFERENCE[:, None]
    + torch.randn(B, D, C, H, W, generator=seeded(1)) * (0.5 + torch.rand(D, C, H, W, generator=seeded(2)))
    + 0.5
)
VALID = torch.ones(B, 1, 8 * H, 8 * W, dtype=torch.bool)


def _fitted(**options: object) -> MahalanobisResidual:
    residual = MahalanobisResidual(**options)
    residual.fit(residual.moments(REFERENCE, HEALTHY, VALID))
    return residual


def test_a_distance_is_that_of_numpy_at_every_depth_and_position() -> None:
    maps = _fitted(prior=0.0).maps(REFERENCE, HEALTHY)
    for d, y, x in ((0, 0, 0), (1, 3, 4), (0, 2, 1)):
        difference = (REFERENCE - HEALTHY[:, d])[:, :, y, x].double().numpy()
        covariance = np.cov(difference.T, bias=True)
        covariance += 1e-3 * np.trace(covariance) / C * np.eye(C)
        centred = difference - difference.mean(0)
        expected = np.sqrt(np.einsum("bi,ij,bj->b", centred, np.linalg.inv(covariance), centred) / C)
        np.testing.assert_allclose(maps[:, d, y, x], expected, rtol=1e-3)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("per_position", [True, False])
def test_a_healthy_difference_is_one_deviation_long(full: bool, per_position: bool) -> None:
    maps = _fitted(full=full, per_position=per_position, prior=0.0).maps(REFERENCE, HEALTHY)
    assert maps.square().mean() == pytest.approx(1, abs=0.01)


def test_with_a_great_prior_positions_are_alike() -> None:
    alike, placed = _fitted(per_position=False), _fitted(prior=1e7)
    torch.testing.assert_close(placed.maps(REFERENCE, HEALTHY), alike.maps(REFERENCE, HEALTHY), rtol=1e-3, atol=1e-3)


def test_without_correlations_each_channel_has_its_own_variance() -> None:
    maps = _fitted(full=False, prior=0.0).maps(REFERENCE, HEALTHY)
    difference = REFERENCE[:, None] - HEALTHY
    standard = (difference - difference.mean(0)) / difference.std(0, correction=0)
    torch.testing.assert_close(maps, standard.square().mean(2).sqrt(), rtol=0.02, atol=1e-3)


def test_the_unit_of_a_channel_does_not_matter() -> None:
    scale = torch.tensor([1.0, 3.0, 0.5])[:, None, None]
    other = MahalanobisResidual(prior=0.0)
    other.fit(other.moments(REFERENCE * scale, HEALTHY * scale, VALID))
    scaled, plain = other.maps(REFERENCE * scale, HEALTHY * scale), _fitted(prior=0.0).maps(REFERENCE, HEALTHY)
    torch.testing.assert_close(scaled, plain, rtol=0.02, atol=0.02)


def test_padding_is_not_learnt_from() -> None:
    valid = VALID.clone()
    valid[:20, ..., : 8 * 2] = False  # the first two columns of positions
    spoilt = HEALTHY.clone()
    spoilt[:20, ..., :2] = 1e4
    ours, clean = MahalanobisResidual(), MahalanobisResidual()
    ours.fit(ours.moments(REFERENCE, spoilt, valid))
    clean.fit(clean.moments(REFERENCE, HEALTHY, valid))
    torch.testing.assert_close(ours.maps(REFERENCE, HEALTHY), clean.maps(REFERENCE, HEALTHY))


@pytest.mark.parametrize("per_position", [True, False])
def test_moments_add_up_over_any_split(per_position: bool) -> None:
    residual, whole = MahalanobisResidual(per_position), MahalanobisResidual(per_position)
    one, two, three = (
        residual.moments(REFERENCE[rows], HEALTHY[rows], VALID[rows])
        for rows in (slice(7), slice(7, 9), slice(9, None))
    )
    whole.fit(whole.moments(REFERENCE, HEALTHY, VALID))
    for parts in (one + two + three, one + (two + three), sum([three, one, two])):
        residual.fit(parts)
        torch.testing.assert_close(residual.maps(REFERENCE, HEALTHY), whole.maps(REFERENCE, HEALTHY))


@pytest.mark.parametrize("per_position", [True, False])
@pytest.mark.parametrize("away", [0.0, 100.0, 3000.0])
def test_a_mean_of_many_deviations_costs_no_accuracy(away: float, per_position: bool) -> None:
    places = torch.randn(D, C, H, W, generator=seeded(5))
    reconstruction = (HEALTHY - away * (1 if not per_position else places)).float()
    residual = MahalanobisResidual(per_position, prior=0.0)
    residual.fit(sum(residual.moments(REFERENCE[at], reconstruction[at], VALID[at]) for at in torch.arange(B).split(9)))
    difference = (REFERENCE[:, None] - reconstruction).double()  # as float32 has them
    rows = difference.permute(1, 3, 4, 0, 2).flatten(1, 2)
    rows = rows if per_position else rows.flatten(1, 2)[:, None]
    expected = torch.stack([torch.stack([torch.cov(x.T, correction=0) for x in depth]) for depth in rows])
    unwhitened = torch.linalg.inv(residual.whitening.double())
    floor = 1e-3 * expected.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] * torch.eye(C)
    torch.testing.assert_close(unwhitened @ unwhitened.transpose(-1, -2), expected + floor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("prior", [0.0, 50.0])
def test_a_position_that_was_never_valid_takes_the_statistics_of_all(prior: float) -> None:
    valid = VALID.clone()
    valid[..., : 8 * 2] = False  # as a letterbox pads
    residual, alike = MahalanobisResidual(prior=prior), MahalanobisResidual(per_position=False)
    for one in (residual, alike):
        one.fit(one.moments(REFERENCE, HEALTHY, valid))
    maps, expected = (one.maps(REFERENCE, HEALTHY) for one in (residual, alike))
    assert maps.isfinite().all()
    torch.testing.assert_close(maps[..., :2], expected[..., :2], rtol=1e-4, atol=1e-4)
    clean = MahalanobisResidual(prior=prior)
    clean.fit(clean.moments(REFERENCE[..., 2:], HEALTHY[..., 2:], VALID[..., 16:]))
    torch.testing.assert_close(maps[..., 2:], clean.maps(REFERENCE[..., 2:], HEALTHY[..., 2:]))


def test_statistics_of_any_size_survive_the_state_dict() -> None:
    fresh = MahalanobisResidual()
    fresh.load_state_dict(_fitted().state_dict())
    assert torch.equal(fresh.maps(REFERENCE, HEALTHY), _fitted().maps(REFERENCE, HEALTHY))


def test_what_was_never_learnt_is_named() -> None:
    with pytest.raises(RuntimeError, match="has learnt nothing yet"):
        MahalanobisResidual().maps(REFERENCE, HEALTHY)
    with pytest.raises(ValueError, match="2 depths and 20 positions, got 2 and 16"):
        _fitted().maps(REFERENCE[..., :4], HEALTHY[..., :4])
    with pytest.raises(ValueError, match="`prior` must not be negative"):
        MahalanobisResidual(prior=-1.0)
