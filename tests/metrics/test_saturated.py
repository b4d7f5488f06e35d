"""sPRO equals its published definition, written down once more."""

import numpy as np
import pytest
import torch

from anomaly_diffusion.metrics.anomaly import PixelMetrics
from anomaly_diffusion.metrics.saturated import SaturatedOverlap
from anomaly_diffusion.types import Region


def regions_of(rng, side):
    """One to three defects, which may overlap, of one or two parts."""
    found = []
    for _ in range(rng.integers(1, 4)):
        mask = np.zeros((side, side), bool)
        for _ in range(rng.integers(1, 3)):
            top, left = rng.integers(0, side - 6, 2)
            mask[top : top + rng.integers(1, 7), left : left + rng.integers(1, 7)] = True
        area = mask.sum()
        found.append(Region(mask, float(rng.choice([area, 1, 0.4 * area, 0.05 * area, min(7, area), 3 * area]))))
    return found


def published(maps, regions, limit):
    """Bergmann et al. 2022: mean of min(|A and P| / s, 1) against the false-positive rate, at every threshold."""
    good = np.stack(
        [~np.any([region.mask for region in marked] or [np.zeros_like(maps[0])], axis=0) for marked in regions]
    )
    good = good.astype(bool)
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        overlaps = [
            min((region.mask & found[image]).sum() / min(region.saturation, region.mask.sum()), 1)
            for image, marked in enumerate(regions)
            for region in marked
        ]
        points.append(((found & good).sum() / good.sum(), np.mean(overlaps)))
    fpr, overlap = np.array(points).T
    inside = fpr <= limit
    x, y = np.append(fpr[inside], limit), np.append(overlap[inside], np.interp(limit, fpr, overlap))
    return np.trapezoid(y, x) / limit


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_spro_is_what_was_published(seed, ties):
    rng, side = np.random.default_rng(seed), 24
    regions = [[], *(regions_of(rng, side) for _ in range(4)), []]
    maps = rng.standard_normal((len(regions), side, side)).astype(np.float32)
    for scores, marked in zip(maps, regions, strict=True):
        for region in marked:
            scores += rng.uniform(0, 2) * region.mask
    maps = maps.round(1) if ties else maps
    metric = SaturatedOverlap()
    for part in np.array_split(np.arange(len(maps)), 3):
        metric.update(torch.from_numpy(maps[part, None]), [regions[index] for index in part])
    figures = metric.compute()
    assert figures.spro == pytest.approx(published(maps, regions, 0.3), abs=1e-6)
    assert figures.spro_05 == pytest.approx(published(maps, regions, 0.05), abs=1e-6)


def test_without_saturation_and_with_connected_regions_it_is_aupro():
    rng, masks = np.random.default_rng(0), np.zeros((3, 1, 32, 32), bool)
    masks[0, 0, 2:9, 3:20] = masks[1, 0, 5:9, 5:9] = masks[1, 0, 20:30, 20:22] = True
    maps = (rng.standard_normal(masks.shape) + masks).astype(np.float32)
    parts = [[masks[0, 0]], [masks[1, 0] & (np.arange(32) < 15), masks[1, 0] & (np.arange(32) > 15)], []]
    spro, aupro = SaturatedOverlap(), PixelMetrics()
    spro.update(torch.from_numpy(maps), [[Region(mask, mask.sum()) for mask in marked] for marked in parts])
    aupro.update(torch.from_numpy(maps), torch.from_numpy(masks))
    assert tuple(spro.compute()) == pytest.approx((aupro.compute().aupro, aupro.compute().aupro_05), abs=1e-9)


def test_a_tenth_is_enough_where_it_saturates():
    mask = np.zeros((20, 20), bool)
    mask[:, :5] = True
    maps = torch.zeros(1, 1, 20, 20)
    maps[..., :2, :5] = 1.0  # ten of a hundred pixels, no other one
    for saturation, figure in ((10.0, 1.0), (20.0, 0.5 + 0.5 * 0.025)):  # from there straight to (1, 1)
        metric = SaturatedOverlap()
        metric.update(maps, [[Region(mask, saturation)]])
        assert metric.compute().spro_05 == pytest.approx(figure, abs=1e-6)


@pytest.mark.parametrize(
    "region",
    [Region(np.zeros((8, 8), bool), 1.0), Region(np.ones((4, 8), bool), 1.0), Region(np.ones((8, 8), bool), 0.0)],
)
def test_regions_that_cannot_be_meant_are_refused(region):
    with pytest.raises(ValueError, match="A region must have pixels, the size of its map"):
        SaturatedOverlap().update(torch.zeros(1, 1, 8, 8), [[region]])
