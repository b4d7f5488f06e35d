import math
import random
from itertools import pairwise

import pytest

from anomaly_diffusion.runs.cost import CostPoint, cost_panels, lacking, pareto_front


def beats(one: CostPoint, other: CostPoint) -> bool:
    no_worse = one.seconds <= other.seconds and one.figure >= other.figure
    return no_worse and (one.seconds, one.figure) != (other.seconds, other.figure)


def some_points(seed: int) -> list[CostPoint]:
    """On a coarse grid, so that many tie."""
    chance = random.Random(seed)
    return [
        CostPoint(str(i), float(chance.randint(1, 6)), chance.randint(0, 6) / 8) for i in range(chance.randint(1, 15))
    ]


def test_the_front_is_what_no_point_beats():
    for points in map(some_points, range(30)):
        front = pareto_front(points)
        unbeaten = [point for point in points if not any(beats(other, point) for other in points)]
        assert sorted(point.name for point in front) == sorted(point.name for point in unbeaten)
        for point in points:
            assert point in front or any(beats(other, point) for other in front)


def test_along_the_front_both_cost_and_figure_rise():
    for points in map(some_points, range(30)):
        for cheap, dear in pairwise(pareto_front(points)):
            same = (cheap.seconds, cheap.figure) == (dear.seconds, dear.figure)
            assert same or (cheap.seconds < dear.seconds and cheap.figure < dear.figure)


def test_neither_order_nor_rising_transformations_change_the_front():
    for points in map(some_points, range(10)):
        front = {point.name for point in pareto_front(points)}
        bent = [CostPoint(p.name, math.log(p.seconds) + 1, p.figure**3) for p in points]
        assert {point.name for point in pareto_front(points[::-1])} == front
        assert {point.name for point in pareto_front(bent)} == front
        assert pareto_front(pareto_front(points)) == pareto_front(points)


def test_no_points_have_no_front():
    assert pareto_front([]) == []


def run(figure, seconds, image=0.5, control=0.1):
    controls = {"blurred_self": {"pixel_ap": control}, "brightness": {"image_auroc": image}}
    return {"pixel_ap": figure, "seconds_per_image": seconds, "controls": controls}


UNTESTED = {"pixel_ap": None, "seconds_per_image": None, "controls": {}}


def test_a_point_is_mean_and_standard_deviation_over_runs():
    (panel,) = cost_panels(
        {"a": [run(0.2, 1.0), run(0.4, 3.0)], "b": [run(0.5, 2.0)]}, {"a": "s", "b": "s"}, "pixel_ap"
    )
    a, b = panel.points
    assert (a.seconds, a.figure) == (2.0, pytest.approx(0.3))
    assert (a.seconds_spread, a.figure_spread) == (pytest.approx(math.sqrt(2)), pytest.approx(math.sqrt(0.02)))
    assert b == CostPoint("b", 2.0, 0.5)


def test_each_data_set_has_its_panel_with_its_own_controls():
    groups = {"a": [run(0.2, 1.0)], "b": [run(0.3, 1.0, control=0.2)], "c": [run(0.4, 1.0)]}
    panels = cost_panels(groups, {"a": "tile", "b": "screw", "c": "tile"}, "pixel_ap")
    assert [(panel.title, [point.name for point in panel.points]) for panel in panels] == [
        ("tile", ["a", "c"]),
        ("screw", ["b"]),
    ]
    assert [panel.controls for panel in panels] == [{"blurred_self": 0.1}, {"blurred_self": 0.2}]


def test_what_was_not_measured_is_left_out_and_the_reason_given():
    groups = {
        "a": [UNTESTED, run(0.2, 1.0)],
        "b": [run(0.2, None)],
        "c": [run(float("nan"), 1.0)],
        "d": [run(0.2, 0.0)],
    }
    (panel,) = cost_panels(groups, dict.fromkeys(groups, "s"), "pixel_ap")
    assert panel.points == [CostPoint("a", 1.0, 0.2)]
    reasons = {name: lacking(runs, "pixel_ap") for name, runs in groups.items()}
    assert reasons == {"a": "", "b": "no seconds per image", "c": "no pixel AP", "d": "no seconds per image"}


def test_a_group_whose_first_run_was_never_tested_stays_with_its_data_set():
    groups = {"a": [UNTESTED, run(0.2, 1.0)], "b": [run(0.3, 1.0)]}
    assert len(cost_panels(groups, dict.fromkeys(groups, "s"), "pixel_ap")) == 1


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match=r"`runs` must .* got a: no seconds per image"):
        cost_panels({"a": [UNTESTED]}, {"a": "s"}, "pixel_ap")
