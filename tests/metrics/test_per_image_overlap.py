"""AUPIMO against its definition, written out, and against its authors' implementation where that is installed."""

import math

import numpy as np
import pytest
import torch

from anomaly_diffusion.metrics.per_image_overlap import PerImageOverlap


def made(seed=0, normals=6, defects=4, side=128, shift=3.0):
    """Maps and masks; the defects of images stand out by different amounts."""
    random = np.random.default_rng(seed)
    maps = random.normal(size=(normals + defects, 1, side, side)).astype(np.float32)
    masks = np.zeros(maps.shape, bool)
    for number in range(defects):
        masks[normals + number, 0, 10 : 20 + number, 10:30] = True
        maps[normals + number][masks[normals + number]] += shift * (1 + number / 3)
    return torch.from_numpy(maps), torch.from_numpy(masks)


def by_definition(maps, masks, low=1e-5, high=1e-4, steps=4000):
    """Mean over defective images of the mean of TPR_i over log F: thresholds are tried one after the other."""
    normal = [m.ravel().double().numpy() for m, mask in zip(maps, masks, strict=True) if not mask.any()]
    defects = [m[mask].double().numpy() for m, mask in zip(maps, masks, strict=True) if mask.any()]
    thresholds = np.unique(np.concatenate(normal))[::-1]
    rates = np.array([np.mean([(one >= t).mean() for one in normal]) for t in thresholds[:400]])
    assert rates[-1] > high
    at = np.exp(np.log(low) + (np.arange(steps) + 0.5) / steps * np.log(high / low))
    found = []
    for rate in at:  # no normal pixel more than F allows: all thresholds above the next normal score are free
        following = thresholds[np.searchsorted(rates, rate)]
        found.append(np.mean([(one > following).mean() for one in defects]))
    return float(np.mean(found))


def measured(maps, masks, batch=3, **how):
    metric = PerImageOverlap(**how)
    for start in range(0, len(maps), batch):
        metric.update(maps[start : start + batch], masks[start : start + batch])
    return metric.compute()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", [128, 40])  # 40: fewer normal pixels than 1 / the least rate
def test_it_is_the_mean_over_images_of_the_mean_over_log_rates(seed, side):
    maps, masks = made(seed, side=side)
    figure = measured(maps, masks)
    assert 0.05 < figure < 0.95
    assert figure == pytest.approx(by_definition(maps, masks), abs=1e-3)


def test_batches_order_ranges_and_tiny_rooms_change_nothing():
    maps, masks = made()
    figure = measured(maps, masks)
    assert measured(maps, masks, 1) == figure
    assert measured(maps.flip(0), masks.flip(0), 10) == pytest.approx(figure, abs=1e-12)
    assert measured(maps.double().exp().float() * 100, masks) == pytest.approx(figure, abs=1e-6)
    assert measured(maps, masks, kept=150) == pytest.approx(figure, abs=1 / 300)


def test_the_best_and_the_worst():
    maps, masks = made()
    assert measured(masks.float(), masks) == pytest.approx(1)
    assert measured(-masks.float(), masks) == 0
    assert measured(torch.zeros_like(maps), masks) == 0
    assert math.isnan(measured(maps[:6], masks[:6]))
    assert math.isnan(measured(maps[6:], masks[6:]))


def test_pixels_of_no_photograph_do_not_count():
    maps, masks = made()
    valid = torch.ones_like(masks)
    valid[..., 100:] = False
    metric, alone = PerImageOverlap(), PerImageOverlap()
    metric.update(torch.where(valid, maps, 99.0), masks, valid)
    alone.update(maps[..., :100], masks[..., :100])
    assert metric.compute() == alone.compute()


def test_a_normal_image_with_more_than_is_kept_is_warned_of():
    maps, masks = made()
    maps[0] += 10
    with pytest.warns(UserWarning, match="more than 2 pixels above the threshold"):
        assert measured(maps, masks, kept=2) >= measured(maps, masks)


def test_two_processes_measure_what_one_does():
    maps, masks = made()
    parts = [PerImageOverlap(), PerImageOverlap()]
    for part, chosen in zip(parts, (slice(0, 7), slice(7, None)), strict=True):
        part.update(maps[chosen], masks[chosen])
    joined = PerImageOverlap()
    joined.scores = [torch.cat([part.scores[0] for part in parts])]
    joined.images = [torch.cat([part.images[0] for part in parts])]
    joined._update_count = 1
    assert joined.compute() == measured(maps, masks)


def test_it_is_what_its_authors_implementation_gives():
    pimo = pytest.importorskip("anomalib.metrics.pimo.functional", reason="no anomalib: pip install anomalib")
    maps, masks = made(normals=25, side=200)  # a million normal pixels: both bounds are rates that occur
    *_, figures, _ = pimo.aupimo_scores(maps[:, 0], masks[:, 0])
    assert measured(maps, masks) == pytest.approx(float(figures.nanmean()), abs=1e-9)
