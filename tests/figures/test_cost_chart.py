import cv2
import numpy as np
import pytest

from anomaly_diffusion.figures.cost_chart import chart, shortened, without_shared_run
from anomaly_diffusion.runs.cost import CostPanel, CostPoint

POINTS = [CostPoint("cheap", 0.01, 0.2), CostPoint("dear", 0.1, 0.6, 0.03, 0.05), CostPoint("beaten", 0.05, 0.1)]


def panel(*points, title="tile", controls=None):
    return CostPanel(title, points, {"blurred_self": 0.15, "mean_image": 0.1} if controls is None else controls)


def drawn(*panels):
    picture = cv2.imdecode(np.frombuffer(chart(panels, "pixel AP"), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture[..., ::-1].astype(int)


def coloured(picture, colour, tolerance=40):
    """How many pixels have about this colour."""
    return int((np.abs(picture - np.array(colour)).max(-1) < tolerance).sum())


def test_the_picture_has_a_readable_size_that_grows_with_its_panels():
    one, three, four = (drawn(*[panel(*POINTS)] * count) for count in (1, 3, 4))
    assert 400 < one.shape[0] < one.shape[1] < 1200
    assert three.shape[1] > 1.5 * one.shape[1]
    assert four.shape[1] == three.shape[1]
    assert four.shape[0] > 1.5 * three.shape[0]


def test_more_points_get_more_room():
    many = [CostPoint(f"a group with a long name {i}", 0.01 + 1e-5 * i, 0.5 + 1e-4 * i) for i in range(30)]
    assert drawn(panel(*many)).shape[0] > 1.3 * drawn(panel(*POINTS)).shape[0]


def test_the_front_is_joined_and_controls_are_lines():
    cheap, dear, worse = (CostPoint(str(at), at, figure) for at, figure in ((0.01, 0.4), (0.1, 0.6), (0.1001, 0.2)))
    joined, apart = drawn(panel(cheap, dear)), drawn(panel(cheap, worse, controls={}))
    blue = (31, 119, 180)
    assert coloured(joined, blue) > coloured(apart, blue) + 500
    reddish = [int((picture[..., 0] - picture[..., 2] > 40).sum()) for picture in (joined, apart)]
    assert reddish[0] > 800
    assert reddish[1] == 0


@pytest.mark.parametrize(
    "points",
    [
        [CostPoint("one", 0.05, 0.5)],
        [CostPoint("same", 0.05, 0.5), CostPoint("place", 0.05, 0.5)],
        [CostPoint("nothing found", 0.05, 0.0), CostPoint("all found", 500.0, 1.0)],
        [CostPoint("spread beyond zero", 0.05, 0.5, 0.2, 0.7), CostPoint("b", 0.06, 0.5)],
        [CostPoint("$a_b$ and 50% \\x", 0.05, 0.5), CostPoint("瓷砖", 0.06, 0.5), CostPoint("x" * 200, 0.07, 0.5)],
    ],
)
def test_odd_points_are_drawn(points):
    picture = drawn(panel(*points, title="$tile 砖"), panel(*points, controls={}))
    assert coloured(picture, (31, 119, 180)) > 10


def test_nothing_to_draw_is_refused():
    for panels in ([], [panel()]):
        with pytest.raises(ValueError, match="`panels` must"):
            chart(panels, "pixel AP")


def test_an_experiment_that_all_share_is_not_repeated():
    assert without_shared_run(["tile", "tile: guided", "tile: ddim"]) == ["tile", "guided", "ddim"]
    assert without_shared_run(["tile: guided", "screw: guided"]) == ["tile: guided", "screw: guided"]


def test_long_names_keep_both_ends():
    assert shortened("short") == "short"
    name = shortened("a" * 50 + "b" * 50)
    assert len(name) == 40
    assert (name[0], name[-1]) == ("a", "b")
