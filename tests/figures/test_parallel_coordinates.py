"""Every record is a line across all axes, in the colour of its figure."""

import numpy as np
import pytest
from pictures import decoded

from anomaly_diffusion.figures.parallel_coordinates import parallel_coordinates

AXES = {"noise": "noise", "depth": "depth", "chosen_by": "pixel AP", "seeds": "seeds"}
RECORDS = [
    {"noise": noise, "depth": depth, "chosen_by": figure, "seeds": 3}
    for noise, depth, figure in (("white", 0.1, 0.1), ("white", 10.0, 0.4), ("clouds", 1.0, 0.6))
]
BELOW_NAMES = 56  # of axes
LOWEST, HIGHEST = (68, 1, 84), (253, 231, 37)  # ends of viridis


def drawn(records=RECORDS, axes=AXES, log=("depth",)):
    return decoded(parallel_coordinates(records, axes, "chosen_by", log).content)[..., ::-1].astype(int)


def rows_of(picture, colour, axis):
    """Where this colour is just behind an axis, where no words are."""
    left = 110 + 150 * axis + 4
    found = np.abs(picture[BELOW_NAMES:, left : left + 4] - np.array(colour)).max(-1) < 70
    return np.flatnonzero(found.any(1)) + BELOW_NAMES


def ends(picture):
    """Top and bottom of the axes."""
    return np.flatnonzero(picture[BELOW_NAMES:, 410].max(-1) < 60)[[0, -1]] + BELOW_NAMES


def test_lines_stand_where_their_values_say():
    picture = drawn()
    top, bottom = ends(picture)
    noise, depth, figure = (rows_of(picture, HIGHEST, axis).mean() for axis in range(3))
    assert noise == pytest.approx(bottom, abs=5)  # what comes second is at the bottom
    assert depth == pytest.approx((top + bottom) / 2, abs=5)  # 1 is halfway from 0.1 to 10
    assert figure == pytest.approx(top, abs=5)
    noise, depth, figure = (rows_of(picture, LOWEST, axis).mean() for axis in range(3))
    assert noise == pytest.approx(top, abs=0.1 * (bottom - top))
    assert depth == pytest.approx(bottom, abs=5)
    assert figure == pytest.approx(bottom, abs=5)


def test_the_best_record_is_the_thickest_and_each_axis_has_its_room():
    picture = drawn()
    best, worst = (len(rows_of(picture, colour, 0)) for colour in (HIGHEST, LOWEST))
    assert best > worst > 0
    wider = drawn([record | {"aupro": 0.5} for record in RECORDS], {"aupro": "AUPRO", **AXES})
    assert wider.shape[1] > picture.shape[1] + 100


def test_records_that_share_a_value_can_be_told_apart():
    same = [{"noise": "white", "depth": 1.0, "chosen_by": figure, "seeds": 3} for figure in (0.1, 0.6)]
    picture = drawn(same)
    for axis in (0, 1):
        assert rows_of(picture, HIGHEST, axis).max() < rows_of(picture, LOWEST, axis).min()


@pytest.mark.parametrize(
    ("records", "axes", "told"),
    [
        ([], AXES, "`records` and `axes` must be"),
        (RECORDS, {"chosen_by": "pixel AP"}, "`records` and `axes` must be"),
        (RECORDS, {"noise": "noise", "depth": "depth"}, "`colour` must be a figure among noise, depth, got chosen_by"),
        ([RECORDS[0] | {"depth": 0.0}], AXES, "`depth` must be finite and positive in all records"),
        ([RECORDS[0] | {"chosen_by": float("nan")}], AXES, "`chosen_by` must be finite in all records"),
    ],
)
def test_what_cannot_be_drawn_is_refused(records, axes, told):
    with pytest.raises(ValueError, match=told):
        drawn(records, axes)
