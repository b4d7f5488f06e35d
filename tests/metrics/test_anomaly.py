"""Laws of the two metrics: equal to exact sorting, whatever the range, order, batch size or number of processes."""

import itertools
import math

import jaxtyping
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from torch import Tensor

from anomaly_diffusion.metrics.anomaly import ImageMetrics, PixelFigures, PixelMetrics
from anomaly_diffusion.metrics.curves import ThresholdCounts, aupro, auroc, average_precision


def make_batch(images: int, size: int = 64) -> tuple[Tensor, Tensor]:
    """Smooth standard-normal maps with raised squares."""
    rng = np.random.default_rng(0)
    maps, masks = np.empty((images, 1, size, size), np.float32), np.zeros((images, 1, size, size), bool)
    for index, (row, column) in enumerate(rng.integers(0, size - 8, (images, 2))):
        texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), 1.5)
        masks[index, 0, row : row + 8, column : column + rng.integers(2, 9)] = index % 4 > 0
        masks[index, 0, 1:3, 1 : 1 + index % 5] = True
        maps[index, 0] = texture / texture.std() + 1.5 * ndimage.gaussian_filter(masks[index, 0].astype(float), 1)
    return torch.from_numpy(maps), torch.from_numpy(masks)


RANGES = {
    "lognormal": lambda z: (2 * z).exp(),
    "cauchy": lambda z: torch.tan(math.pi * 0.9999 * (torch.special.ndtr(z.double()) - 0.5)).float(),
    "uniform": lambda z: (z + 4) / 10,
    "negative": lambda z: -(-z).exp(),
    "both signs": lambda z: 3 * z,
    "tiny range": lambda z: 5 + 1e-4 * z,
    "tinier range": lambda z: 5 + 1e-7 * z,
    "huge": lambda z: z * 1e37,
    "subnormal": lambda z: z * 1e-41,
    "half zeros": lambda z: z.relu(),
    "clipped": lambda z: z.clamp(-1.234, 2.345),
    "eight bits": lambda z: (40 * z).round() / 255,
    "sixteen bits": lambda z: z.exp().half().float(),
    "infinite": lambda z: torch.where(z > 3, torch.inf, torch.where(z < -2, -torch.inf, z)),
}


def evaluate(maps: Tensor, masks: Tensor, pages: int = 64, batch: int = 7) -> PixelFigures:
    metric = PixelMetrics(pages, exact=0)
    for start in range(0, len(maps), batch):
        metric.update(maps[start : start + batch], masks[start : start + batch])
    return metric.compute()


def finite_scores(maps: Tensor) -> np.ndarray:
    """What scikit-learn accepts: infinite scores beyond all others."""
    return np.nan_to_num(maps.numpy().ravel().astype(np.float64), posinf=1e300, neginf=-1e300)


def exact_f1(maps: Tensor, masks: Tensor) -> float:
    """F1-max over every score that occurs."""
    precision, recall, _ = precision_recall_curve(masks.numpy().ravel(), finite_scores(maps))
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max())


def every_threshold(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """AUPRO by its definition: binarise at every score that occurs, one after the other."""
    label = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]
    regions = [(image, label[image] == k) for image in range(len(masks)) for k in range(1, label[image].max() + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        points.append((found[~masks].mean(), np.mean([found[image][region].mean() for image, region in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


@pytest.mark.parametrize("name", RANGES)
def test_pixel_figures_equal_exact_sorting_in_any_range(name):
    z, masks = make_batch(40)
    maps = RANGES[name](z)
    got, truth, finite, f1 = evaluate(maps, masks), masks.numpy().ravel(), finite_scores(maps), exact_f1(maps, masks)
    assert got.auroc == pytest.approx(roc_auc_score(truth, finite), abs=1e-6)
    assert got.ap == pytest.approx(average_precision_score(truth, finite), abs=2e-5)
    assert f1 - 1e-4 <= got.f1_max <= f1 + 1e-12  # a few pixels of 2,500


@pytest.mark.parametrize("name", RANGES)
def test_f1_is_exact_while_bins_near_its_threshold_hold_one_pixel(name):
    z, masks = make_batch(12)
    maps = RANGES[name](z)
    assert evaluate(maps, masks).f1_max == pytest.approx(exact_f1(maps, masks), abs=1e-6)


@pytest.mark.parametrize("name", RANGES)
def test_f1_is_what_its_threshold_gives(name):
    z, masks = make_batch(12)
    maps = RANGES[name](z)
    figures = evaluate(maps, masks)
    found = maps >= figures.f1_threshold
    assert figures.f1_max == pytest.approx(float(2 * (found & masks).sum() / (found.sum() + masks.sum())), abs=1e-6)


@pytest.mark.parametrize("name", ["lognormal", "both signs", "half zeros", "eight bits", "tinier range"])
def test_aupro_equals_its_definition_at_every_threshold(name):
    z, masks = make_batch(3, 32)
    maps = RANGES[name](z)
    got = evaluate(maps, masks)
    assert got.aupro == pytest.approx(
        every_threshold(maps[:, 0].numpy(), masks[:, 0].numpy(), 0.3), abs=2e-5
    )  # a pixel is 3e-4
    assert got.aupro_05 == pytest.approx(every_threshold(maps[:, 0].numpy(), masks[:, 0].numpy(), 0.05), abs=2e-5)


def test_aupro_of_a_hand_made_grid():
    # regions: {5, 1} (touching at a corner) and {4}; nine normal pixels, one of which scores 3, eight 0
    maps, masks = torch.zeros(1, 1, 2, 6), torch.zeros(1, 1, 2, 6, dtype=torch.bool)
    maps[0, 0, 0, 0], maps[0, 0, 1, 1], maps[0, 0, 0, 4], maps[0, 0, 1, 3] = 5.0, 1.0, 4.0, 3.0
    masks[0, 0, 0, 0] = masks[0, 0, 1, 1] = masks[0, 0, 0, 4] = True
    got = evaluate(maps, masks)
    # overlap at (FPR): 3/4 up to 1/9, then 1 once the pixel of score 1 is found, at the same FPR of 1/9
    assert got.aupro == pytest.approx((0.75 / 9 + 1.0 * (0.3 - 1 / 9)) / 0.3, abs=1e-9)
    assert got.aupro_05 == pytest.approx(0.75, abs=1e-9)


def test_small_regions_count_as_much_as_large_ones():
    maps, masks = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    masks[..., :20, :20] = masks[..., 30, 30] = True
    maps[..., 30, 30] = 1.0
    # found: the one-pixel region only; from there straight to (1, 1)
    assert evaluate(maps, masks).aupro == pytest.approx((0.5 + 0.65) / 2, abs=1e-6)


@pytest.mark.parametrize("pages", [2, *(pytest.param(pages, marks=pytest.mark.soak) for pages in (5, 64))])
def test_order_and_batch_size_change_no_bit(pages):
    z, masks = make_batch(24)
    maps = (2 * z).exp() * torch.logspace(-6, 6, 24)[:, None, None, None]
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    results = {
        evaluate(maps[at], masks[at], pages, size) for at in (slice(None), order, order.flip(0)) for size in (1, 5, 24)
    }
    assert len(results) == 1


def test_figures_do_not_change_under_increasing_transformations():
    z, masks = make_batch(16)
    plain, curved = evaluate(z, masks), evaluate((z / 2).exp(), masks)
    for name in ("auroc", "ap", "f1_max", "aupro", "aupro_05"):
        assert getattr(plain, name) == pytest.approx(getattr(curved, name), abs=1e-4 if name == "f1_max" else 2e-5)


def test_negative_and_positive_zero_are_one_score():
    maps = torch.tensor([0.0, -0.0, -0.0, 0.0]).reshape(1, 1, 2, 2)
    masks = torch.tensor([True, False, True, False]).reshape(1, 1, 2, 2)
    assert evaluate(maps, masks)[:3] == (0.5, 0.5, pytest.approx(2 / 3))


def test_a_constant_map_knows_nothing():
    masks = make_batch(4)[1]
    for value in (0.0, -3.5, 1e30):
        figures = evaluate(torch.full(masks.shape, value), masks)
        assert figures.auroc == 0.5
        assert figures.ap == pytest.approx(float(masks.float().mean()))
        assert figures.aupro == pytest.approx(0.15, abs=1e-9)


@pytest.mark.parametrize("defective", [True, False])
def test_figures_of_a_single_class_are_nan(defective):
    maps = make_batch(2)[0]
    metric, images = PixelMetrics(exact=0), ImageMetrics()
    metric.update(maps, torch.full(maps.shape, defective))
    images.update(maps.amax((1, 2, 3)), torch.full((2,), defective))
    assert np.isnan(metric.compute()).all()
    assert np.isnan(images.compute()).all()


def test_nan_is_refused_by_name():
    maps, masks = make_batch(2)
    maps[1, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        PixelMetrics(exact=0).update(maps, masks)
    with pytest.raises(ValueError, match="NaN"):
        ImageMetrics().update(maps.amax((1, 2, 3)), masks.any((1, 2, 3)))


def test_a_refused_batch_leaves_no_trace():
    maps, masks = make_batch(4)
    broken, metric = 1e20 * maps, PixelMetrics(exact=0)
    broken[3, 0, 0, 0] = torch.nan
    metric.update(maps[:2], masks[:2])
    with pytest.raises(ValueError, match="NaN"):
        metric.update(broken, masks)
    metric.update(maps[2:], masks[2:])
    assert metric.compute() == evaluate(maps, masks)


@pytest.mark.parametrize(("wrong", "message"), [("shape", "one shape"), ("mask", "bool"), ("map", "floating-point")])
def test_what_does_not_fit_is_refused(wrong, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users run without its checks
    maps, masks = make_batch(2)
    given = {"shape": (maps[:1], masks), "mask": (maps, masks.float()), "map": (maps.int(), masks)}
    with pytest.raises(ValueError, match=message):
        PixelMetrics(exact=0).update(*given[wrong])


def test_padding_counts_for_nothing():
    maps, masks = make_batch(6)
    valid = torch.ones_like(masks)
    valid[..., 50:] = False
    dirty, padded = maps.clone(), PixelMetrics(exact=0)
    dirty[..., 50:] = torch.nan
    padded.update(dirty, masks | ~valid, valid)
    assert padded.compute() == evaluate(maps[..., :50], masks[..., :50])


def test_a_reset_metric_starts_afresh():
    maps, masks = make_batch(6)
    metric = PixelMetrics(exact=0)
    metric.update(1e20 * maps, masks)
    metric.reset()
    metric.update(maps, masks)
    assert metric.compute() == evaluate(maps, masks)


@pytest.mark.parametrize("defective", [0, 1])
def test_batches_whose_truth_is_unknown_change_nothing(defective):
    maps, masks = make_batch(6)
    masks &= bool(defective)
    metric = PixelMetrics(exact=0)
    for part in (slice(0), slice(6), slice(0)):  # nothing is left of a batch of defects that nobody has drawn
        metric.update(maps[part], masks[part])
    assert str(metric.compute()) == str(evaluate(maps, masks))


def test_forward_gives_the_batch_and_keeps_the_sum():
    maps, masks = make_batch(6)
    metric = PixelMetrics(exact=0)
    assert metric(maps[:3], masks[:3]) == evaluate(maps[:3], masks[:3])
    assert metric(maps[3:], masks[3:]) == evaluate(maps[3:], masks[3:])
    assert metric.compute() == evaluate(maps, masks)


def test_image_figures_equal_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.random(200) < 0.4
    score = (rng.standard_cauchy(200) + 2 * label).round(1).astype(np.float32)  # with ties, far outside [0, 1]
    metric = ImageMetrics()
    for part in np.array_split(np.arange(200), 7):
        metric.update(torch.from_numpy(score[part]), torch.from_numpy(label[part]))
    precision, recall, _ = precision_recall_curve(label, score)
    got, found = metric.compute(), score >= np.float32(metric.compute().f1_threshold)
    assert got.auroc == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert got.ap == pytest.approx(average_precision_score(label, score), abs=1e-12)
    assert got.f1_max == pytest.approx(
        (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max(), abs=1e-12
    )
    assert got.f1_max == pytest.approx(2 * (found & label).sum() / (found.sum() + label.sum()), abs=1e-12)


def test_figures_do_not_depend_on_the_threads_of_numpy() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    rng = np.random.default_rng(0)
    normal, defective = (rng.integers(0, most, 200_000) for most in (100, 3))
    overlap = defective * rng.random(200_000)
    counts = ThresholdCounts(-np.arange(200_000.0), normal, defective, overlap, np.zeros(200_000, dtype=bool))
    found = set()
    for threads in (1, 2, 3):
        with threadpoolctl.threadpool_limits(threads):
            found.add((auroc(counts), average_precision(counts), aupro(counts, 0.3), aupro(counts, 0.05)))
    assert len(found) == 1
