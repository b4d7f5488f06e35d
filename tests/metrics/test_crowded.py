"""Scores that crowd: every figure within 1e-3 of exact sorting, or within the bound that a warning names."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from anomaly_diffusion.metrics.anomaly import TOLERANCE, PixelFigures, PixelMetrics

Array = np.ndarray
FIGURES = ("auroc", "ap", "f1_max", "aupro", "aupro_05")


class Case(NamedTuple):
    """Standard-normal scores, those of defects raised, and what becomes of them."""

    scores: Array
    mask: Array


def normal_scores(images: int = 24, size: int = 48, raised: float = 1.5, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    mask = np.zeros((images, size, size), bool)
    for index in range(images // 2, images):  # normal images come first, as in a validation
        top, left, high, wide = *rng.integers(0, size - 16, 2), *rng.integers(2, 16, 2)
        mask[index, top : top + high, left : left + wide] = True
    return Case(rng.standard_normal((images, size, size)) + raised * mask, mask)


def sigmoid(score: Array) -> Array:
    return (1 / (1 + np.exp(-score.astype(np.float32)))).astype(np.float32)


def with_outliers(score: Array, count: int, seed: int = 1) -> Array:
    """Some scores replaced by numbers of both signs and of all exponents."""
    rng, score = np.random.default_rng(seed), score.astype(np.float32)
    place = rng.choice(score.size, count, replace=False)
    score.flat[place] = rng.uniform(1, 2, count) * 2.0 ** rng.integers(-126, 127, count) * rng.choice([-1, 1], count)
    return score


CROWDS = {
    "saturated": lambda z: sigmoid(4 * z + 4),
    "near one": lambda z: with_outliers(1 + 1e-3 * np.clip(z / 4, -1, 1), 300),
    "near five": lambda z: with_outliers(5 + 1e-3 * np.clip(z / 4, -1, 1), 300),
    "near minus one": lambda z: with_outliers(-1 + 1e-4 * z, 300),
    "half zeros": lambda z: with_outliers(z.clip(min=0), 300),
    "eight bits": lambda z: with_outliers(np.round(40 * z) / 255, 300),
    "half precision": lambda z: sigmoid(4 * z + 4).astype(np.float16).astype(np.float32),
    "negative half precision": lambda z: -sigmoid(4 - 4 * z).astype(np.float16).astype(np.float32),
}


def evaluate(case: Case, batch: int, **memory: int) -> PixelFigures:
    metric = PixelMetrics(**{"exact": 0} | memory)
    for start in range(0, len(case.mask), batch):
        part = (torch.from_numpy(field[start : start + batch, None]) for field in case)
        metric.update(*part)
    return metric.compute()


def gather(first: PixelMetrics, second: PixelMetrics) -> None:
    """Let the first hold the states of both, as torchmetrics gathers them."""
    for name in ("level", "grain", "pages", "counts", "seen", "first", "nodes", "node_counts"):
        setattr(first, name, torch.stack([getattr(first, name), getattr(second, name)]))


def exact(case: Case) -> dict[str, float]:
    """By sorting; AUPRO by its definition, at every threshold."""
    truth, score = case.mask.ravel(), case.scores.ravel().astype(np.float64)
    precision, recall, _ = precision_recall_curve(truth, score)
    return {
        "auroc": roc_auc_score(truth, score),
        "ap": average_precision_score(truth, score),
        "f1_max": float((2 * precision * recall / np.maximum(precision + recall, 1e-300)).max()),
        "aupro": exact_aupro(case, 0.3),
        "aupro_05": exact_aupro(case, 0.05),
    }


def exact_aupro(case: Case, limit: float) -> float:
    weight = np.zeros(case.mask.shape)
    for mask, share in zip(case.mask, weight, strict=True):
        label = ndimage.label(mask, np.ones((3, 3)))[0]
        share[mask] = 1 / np.bincount(label.ravel())[label[mask]]
    order = np.argsort(-case.scores, axis=None, kind="stable")
    last = np.append(np.diff(case.scores.ravel()[order]) != 0, True)  # of equal scores
    fpr = np.append(0, np.cumsum(~case.mask.ravel()[order])[last] / (~case.mask).sum())
    overlap = np.append(0, np.cumsum(weight.ravel()[order])[last] / weight.sum())
    inside = fpr <= limit
    x, y = np.append(fpr[inside], limit), np.append(overlap[inside], np.interp(limit, fpr, overlap))
    return float(np.trapezoid(y, x) / limit)


def errors(figures: PixelFigures, case: Case) -> list[float]:
    return [abs(getattr(figures, name) - value) for name, value in exact(case).items()]


@pytest.mark.parametrize("batch", [1, 24])
@pytest.mark.parametrize("name", CROWDS)
@pytest.mark.filterwarnings("ignore:Pixel figures may be off")
def test_figures_of_crowded_scores_lie_within_a_thousandth(name, batch):
    scores, mask = normal_scores()
    case = Case(CROWDS[name](scores), mask)
    figures = evaluate(case, batch)
    assert max(errors(figures, case)) <= TOLERANCE
    assert max(errors(figures, case)) <= figures.bound + 1e-9


@pytest.mark.parametrize("name", CROWDS)
def test_no_warning_where_the_first_images_show_where_scores_crowd(name):
    scores, mask = normal_scores()
    assert evaluate(Case(CROWDS[name](scores), mask), 24).bound <= TOLERANCE


@given(
    raised=st.floats(0, 6),
    slope=st.floats(0.01, 20),
    shift=st.floats(-20, 20),
    squash=st.sampled_from([sigmoid, np.tanh, np.exp, np.round, np.square, np.float32]),
    outliers=st.sampled_from([0, 3, 300]),
    batch=st.sampled_from([1, 3, 12]),
    pages=st.sampled_from([2, 64]),
    nodes=st.sampled_from([1, 30, 2048]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_figures_lie_within_their_bound_and_a_large_bound_is_told(
    raised, slope, shift, squash, outliers, batch, pages, nodes, seed
):
    scores, mask = normal_scores(12, 40, raised, seed)
    with np.errstate(over="ignore"):
        case = Case(with_outliers(squash(slope * scores + shift).clip(-1e30, 1e30), outliers, seed), mask)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figures = evaluate(case, batch, pages=pages, nodes=nodes)
    assert max(errors(figures, case)) <= figures.bound + 1e-9
    assert bool(told) == (figures.bound > TOLERANCE)


def test_the_warning_names_the_bound():
    scores, mask = normal_scores()
    case = Case(CROWDS["near one"](scores), mask)
    with pytest.warns(UserWarning, match=r"off by up to 0\.\d+"):
        figures = evaluate(case, 24, pages=2, nodes=1)
    assert figures.bound > 0.01


def test_bits_do_not_depend_on_order_while_the_bins_suffice():
    scores, mask = normal_scores()
    case = Case(np.exp(2 * scores).astype(np.float32), mask)
    turned = Case(case.scores[::-1].copy(), mask[::-1].copy())
    found = {evaluate(case, 1), evaluate(case, 24), evaluate(turned, 5)}
    assert len(found) == 1
    assert found.pop().bound < 1e-4


def test_few_pixels_are_sorted_whatever_their_order_and_wherever_they_were_counted():
    case = Case(*normal_scores(6, 48))
    case = Case(with_outliers(np.round(case.scores, 1), 30), case.mask)
    size = case.mask.size  # there is room for all
    found = {
        evaluate(case, 1, exact=size),
        evaluate(Case(case.scores[::-1].copy(), case.mask[::-1].copy()), 4, exact=size),
    }
    assert len(found) == 1
    assert found.pop().bound == 0
    assert max(errors(evaluate(case, 2, exact=size), case)) < 1e-9
    assert evaluate(case, 6, exact=size).f1_threshold in case.scores


@pytest.mark.parametrize("exact", [1, 2 * 48 * 48, 23 * 48 * 48])
def test_pixels_that_were_kept_are_counted_once_there_is_no_room_for_all(exact):
    case = Case(*normal_scores())
    assert evaluate(case, 3, exact=exact) == evaluate(case, 3)


def test_the_few_pixels_of_one_process_are_counted_with_the_many_of_another():
    case = Case(*normal_scores())
    few, many = PixelMetrics(exact=3 * 48 * 48), PixelMetrics(exact=3 * 48 * 48)
    for metric, part in ((few, slice(0, 2)), (many, slice(2, None))):
        metric.update(*(torch.from_numpy(field[part, None]) for field in case))
    gather(few, many)
    assert few.compute() == evaluate(case, 24)


def test_two_halves_together_find_what_one_metric_finds_alone():
    scores, mask = normal_scores()
    case = Case(CROWDS["saturated"](scores), mask)
    halves = [PixelMetrics(exact=0), PixelMetrics(exact=0)]
    for metric, turn in zip(halves, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        metric.update(*(torch.from_numpy(field[turn, None]) for field in case))
    first, second = halves
    gather(first, second)
    figures = first.compute()
    assert figures.bound < 1e-3
    assert max(errors(figures, case)) < 1e-4


def test_a_batch_without_images_changes_nothing():
    case, metric = normal_scores(), PixelMetrics(exact=0)
    case = case._replace(scores=CROWDS["saturated"](case.scores))
    for start in range(0, len(case.mask), 8):
        metric.update(*(torch.from_numpy(field[start : start + 8, None]) for field in case))
        metric.update(torch.zeros(0, 1, 48, 48), torch.zeros(0, 1, 48, 48, dtype=torch.bool))
    assert metric.compute() == evaluate(case, 8)
