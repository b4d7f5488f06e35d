import cv2
import numpy as np
import pytest

from anomaly_diffusion.figures.canvas import TRUTH
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.figures.trajectories import GAP, HEAD, TEXT, Trajectory, spaced, trajectory_sheet

TILE = 128


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255


def grey(value, side=32, channels=3):
    return np.full((side, side, channels), float(value))


def trajectory(count=3, z=0.0, channels=3, mask=None, title="walk", side=32):
    mask = np.zeros((side, side), bool) if mask is None else mask
    image, found = grey(0.5, side, channels), grey(1, side, channels)
    pictures = ResultPictures(title, True, 0.0, image, mask, image, found, np.full((side, side), z))
    steps = [(1 / (1 + place), grey(0, side, channels), grey(0.75, side, channels)) for place in range(count)]
    return Trajectory(pictures, steps)


def cell(picture, row, column, top=8 + TEXT):
    """The lower right quarter of a picture, which no name covers."""
    left, top = GAP + column * (TILE + 4), top + row * (TILE + 4)
    return picture[top + TILE // 2 : top + TILE - 8, left + TILE // 2 : left + TILE - 8]


def test_a_trajectory_reads_from_image_over_network_to_reconstruction():
    picture = decode(trajectory_sheet([trajectory(2)], tile=TILE))
    upper = [cell(picture, 0, column).mean() for column in range(4)]
    lower = [cell(picture, 1, column).mean() for column in range(1, 4)]
    assert upper == pytest.approx([0.5, 0.0, 0.0, 1.0], abs=0.01)
    assert lower == pytest.approx([0.75, 0.75, 1.0], abs=0.01)  # a difference of half the range is white


def test_one_colour_means_one_value_on_every_sheet():
    alone = decode(trajectory_sheet([trajectory(z=4.0)], tile=TILE))
    below_a_stronger_one = decode(trajectory_sheet([trajectory(z=80.0), trajectory(z=4.0)], tile=TILE))
    second = 8 + TEXT + 2 * (TILE + 4) + GAP + TEXT
    np.testing.assert_allclose(cell(alone, 1, 0), cell(below_a_stronger_one, 1, 0, top=second), atol=0.01)
    assert np.abs(cell(below_a_stronger_one, 1, 0) - cell(alone, 1, 0)).max() > 0.2


def test_the_true_defect_is_outlined_where_it_is_known():
    mask = np.zeros((32, 32), bool)
    mask[10:20, 10:20] = True
    marked, plain = (
        decode(trajectory_sheet([trajectory(mask=mask)], tile=TILE)),
        decode(trajectory_sheet([trajectory()], tile=TILE)),
    )
    share = [(np.abs(picture[:-60] - np.array(TRUTH)).max(-1) < 0.03).mean() for picture in (marked, plain)]
    assert share[0] > 0
    assert share[1] == 0


def test_trajectories_of_any_length_and_title_share_a_sheet():
    sheet = decode(
        trajectory_sheet(
            [trajectory(0), trajectory(6, title="划痕 $x_1$"), trajectory(1)], title="strategies", tile=TILE
        )
    )
    assert sheet.shape[1] == 2 * GAP + 8 * (TILE + 4)
    assert cell(sheet, 0, 0, top=HEAD + TEXT).mean() == pytest.approx(0.5, abs=0.01)


def test_grey_and_colour_images_look_alike():
    grey_sheet, colour_sheet = (decode(trajectory_sheet([trajectory(channels=channels)])) for channels in (1, 3))
    np.testing.assert_allclose(grey_sheet, colour_sheet)


@pytest.mark.parametrize(("total", "count"), [(1, 4), (3, 4), (4, 4), (50, 4), (50, 1), (7, 5)])
def test_spaced_places_begin_at_the_first_and_end_at_the_last(total, count):
    places = spaced(total, count)
    assert places[0] == 0
    assert places[-1] == (total - 1 if count > 1 else 0)
    assert len(places) == min(total, count)
    gaps = np.diff(places)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1
