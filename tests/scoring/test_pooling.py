import pytest
import torch
from analytic import seeded

from anomaly_diffusion.scoring.pooling import MaxPooling, Pooling, TopKMean

POOLINGS = [MaxPooling(), TopKMean(), TopKMean(0.25), TopKMean(1.0)]
poolings = pytest.mark.parametrize("pooling", POOLINGS, ids=lambda p: f"{type(p).__name__}{getattr(p, 'share', '')}")
MAPS = torch.randn(4, 1, 13, 10, generator=seeded())
VALID = torch.rand(4, 1, 13, 10, generator=seeded(1)) > 0.4


@poolings
def test_a_constant_map_has_its_constant_as_score(pooling: Pooling) -> None:
    torch.testing.assert_close(pooling(torch.full_like(MAPS, -2.5), VALID), torch.full((4,), -2.5))


@poolings
def test_padding_never_counts(pooling: Pooling) -> None:
    worst_in_padding = MAPS.masked_fill(~VALID, 1e6)
    assert torch.equal(pooling(worst_in_padding, VALID), pooling(MAPS.masked_fill(~VALID, -1e6), VALID))


@poolings
def test_each_image_is_pooled_alone(pooling: Pooling) -> None:
    alone = torch.cat([pooling(MAPS[i : i + 1], VALID[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(pooling(MAPS, VALID), alone, rtol=1e-6, atol=1e-7)


@poolings
def test_the_place_of_a_pixel_does_not_matter(pooling: Pooling) -> None:
    order = torch.randperm(130, generator=seeded())
    shuffled, valid = (part.flatten(1)[:, order].reshape(part.shape) for part in (MAPS, VALID))
    torch.testing.assert_close(pooling(shuffled, valid), pooling(MAPS, VALID), rtol=1e-6, atol=1e-7)


@poolings
def test_a_worse_pixel_never_lowers_the_score(pooling: Pooling) -> None:
    worse = MAPS.clone()
    worse[:, :, 3:5, 2:9] += 1
    assert (pooling(worse, VALID) >= pooling(MAPS, VALID)).all()


@poolings
def test_scores_keep_the_unit_of_the_map(pooling: Pooling) -> None:
    torch.testing.assert_close(pooling(3 * MAPS + 2, VALID), 3 * pooling(MAPS, VALID) + 2, rtol=1e-5, atol=1e-5)


def test_pooling_by_hand() -> None:
    anomaly_map = torch.tensor([9.0, 1.0, 5.0, 3.0, 4.0, 2.0]).reshape(1, 1, 2, 3)
    valid = torch.tensor([False, True, True, True, True, True]).reshape(1, 1, 2, 3)
    assert MaxPooling()(anomaly_map, valid).item() == 5
    assert TopKMean(0.4)(anomaly_map, valid).item() == 4.5  # two of five valid pixels
    assert TopKMean(0.41)(anomaly_map, valid).item() == 4  # a started pixel counts
    assert TopKMean(1.0)(anomaly_map, valid).item() == 3
    assert TopKMean(1e-6)(anomaly_map, valid).item() == 5
