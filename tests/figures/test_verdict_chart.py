"""The chart of verdicts is drawn of records alone, and says so where something is unknown."""

import numpy as np
import pytest
from pictures import decoded

from anomaly_diffusion.figures import verdict_chart as drawing
from anomaly_diffusion.figures.verdict_chart import verdict_chart
from anomaly_diffusion.types import ImageResult, Verdict
from anomaly_diffusion.verdicts.rates import rates

LIMIT = 3.0
KINDS = "good", "dent", "scratch"


def result(kind, score):
    label = int(kind != "good")
    said = Verdict(0.1, LIMIT, bool(score > LIMIT), in_place=True if label else None)
    return ImageResult(f"{kind}/{score}.png", label, kind, 0.1 * label, score, verdict=said)


def made_of(*kinds):
    scores = np.random.default_rng(0).gamma(4, 1, (len(kinds), 12))
    return [result(kind, score) for kind, row in zip(kinds, scores, strict=True) for score in row]


def verdicts(results):
    return {"limit": LIMIT, **rates(results)}


def words(monkeypatch, *asked):
    """What is written on the chart."""
    said = []
    kept = drawing.png
    monkeypatch.setattr(drawing, "png", lambda figure: said.append(figure) or kept(figure))
    verdict_chart(*asked)
    return " | ".join(text.get_text() for text in said[0].findobj(match=lambda artist: hasattr(artist, "get_text")))


def test_the_limit_the_operating_point_and_each_kind_are_named(monkeypatch):
    results = made_of(*KINDS)
    said = words(monkeypatch, results, verdicts(results))
    found = rates(results)
    for name in ("limit 3", "found: dent", "found: scratch", "found: all kinds", "of these in place", "false alarms"):
        assert name in said
    assert f"{found['found']['hits']}/24" in said
    assert f"{found['found']['share']:.0%}" in said


def test_a_run_without_limits_says_so_and_keeps_its_curves(monkeypatch):
    said = words(monkeypatch, made_of(*KINDS), {})
    assert "no limit is known" in said
    assert "ROC" in said
    assert "at the limit:" not in said


@pytest.mark.parametrize("kinds", [("good",), ("dent",), ()])
def test_one_class_alone_has_no_curve(kinds, monkeypatch):
    results = made_of(*kinds)
    assert "needs normal and defective images" in words(monkeypatch, results, verdicts(results))


def test_many_kinds_make_a_higher_chart_up_to_a_limit():
    heights = [
        decoded(verdict_chart(results, verdicts(results))).shape[0]
        for count in (2, 10, 40, 60)
        for results in [made_of("good", *(f"kind {place}" for place in range(count)))]
    ]
    assert heights[0] < heights[1] < heights[2] == heights[3]
