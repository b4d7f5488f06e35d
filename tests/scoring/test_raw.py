"""A residual that knows no reconstruction: it judges as its judge does of a reconstruction of nothing."""

import pytest
import torch
from analytic import seeded

from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.raw import RawResidual
from anomaly_diffusion.scoring.residual import L2Residual
from anomaly_diffusion.scoring.scorer import Scoring

IMAGES = torch.randn(6, 4, 5, 7, generator=seeded(1))
VALID, KEYS = torch.ones(6, 1, 5, 7, dtype=torch.bool), list(range(6))


def taught(residual, reconstruction):
    residual.fit(residual.moments(IMAGES, reconstruction, VALID, KEYS))
    return residual


@pytest.mark.parametrize("make", [MahalanobisResidual, lambda: NearestResidual(context=0.0, at_most=20)])
def test_it_is_its_judge_of_a_reconstruction_of_nothing(make):
    nothing = torch.zeros(6, 1, 4, 5, 7)
    alone = taught(make(), nothing)
    raw = taught(RawResidual(make()), torch.randn(6, 3, 4, 5, 7))
    found = raw.maps(IMAGES[:2], torch.randn(2, 3, 4, 5, 7))
    assert found.shape == (2, 3, 5, 7)
    for depth in found.unbind(1):
        torch.testing.assert_close(depth, alone.maps(IMAGES[:2], nothing[:2])[:, 0], rtol=0, atol=0)


def test_it_asks_for_no_reconstruction_and_learns_where_its_judge_does():
    raw = RawResidual(MahalanobisResidual())
    assert not raw.reads_reconstruction
    assert raw.lessons == [raw]
    assert RawResidual(L2Residual()).lessons == []
    assert Scoring([raw]).lessons == [[raw]]


def test_a_judge_that_needs_no_lesson_measures_the_image_itself():
    torch.testing.assert_close(
        RawResidual(L2Residual())(IMAGES, torch.randn_like(IMAGES)), L2Residual()(IMAGES, torch.zeros_like(IMAGES))
    )


@pytest.mark.parametrize("scales", [1, 2])
def test_among_maps_of_several_depths_it_counts_once_at_each_scale(scales):
    scoring = Scoring([L2Residual(), RawResidual(L2Residual())], weights=[2.0, 3.0])
    *per_depth, fused = scoring.rows(scoring.calibration(scales * 3 * 2), scoring.weights, scales)
    by_map = fused.reshape(scales, 3, 2)
    torch.testing.assert_close(by_map[..., 0], torch.full((scales, 3), 2.0))
    torch.testing.assert_close(by_map[..., 1].sum(1), torch.full((scales,), 3.0))
    for place, row in enumerate(per_depth):
        assert row.reshape(scales, 3, 2)[:, place].tolist() == [[2.0, 3.0]] * scales
