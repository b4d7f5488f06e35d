import cv2
import numpy as np
import pytest

from anomaly_diffusion.figures.depth_chart import curve
from anomaly_diffusion.measures.depth_sensitivity import as_csv, robust_interval

DEPTHS = (0.25, 0.5, 1.0, 2.0)


def test_the_interval_ends_where_the_interpolated_figure_has_lost_a_point():
    reach = robust_interval(DEPTHS, [0.5, 0.9, 0.90, 0.88])
    assert reach.best == 0.5
    assert reach.low == pytest.approx(0.5 * 2 ** (-0.01 / 0.4))
    assert reach.high == pytest.approx(2**0.5)
    assert reach.octaves == pytest.approx(1.5 + 0.01 / 0.4)


def test_the_interval_reaches_to_the_ends_of_a_flat_curve_and_no_further():
    reach = robust_interval(DEPTHS, [0.8, 0.805, 0.8, 0.8])
    assert (reach.low, reach.high, reach.octaves) == (0.25, 2.0, 3.0)


def test_another_peak_beyond_a_valley_is_not_part_of_the_interval():
    reach = robust_interval(DEPTHS, [0.9, 0.5, 0.9, 0.9005])
    assert reach.best == 2.0
    assert 0.5 < reach.low < 1.0


def test_a_depth_without_a_figure_is_outside_the_interval():
    reach = robust_interval(DEPTHS, [float("nan"), 0.9, 0.9, 0.9])
    assert reach.low == 0.5


def test_the_table_has_a_line_for_each_depth():
    table = as_csv((0.5, 1.0), [{"pixel_ap": 0.25, "psnr": 30.0}, {"pixel_ap": 0.5, "psnr": 20.0}]).splitlines()
    assert table[0].split(",")[0] == "depth"
    place = table[0].split(",").index("pixel_ap")
    assert [line.split(",")[0] for line in table[1:]] == ["0.5", "1.0"]
    assert [line.split(",")[place] for line in table[1:]] == ["0.25", "0.5"]


def test_the_picture_shows_the_curve():
    figures = [{"image_auroc": 0.6 + 0.1 * i, "pixel_ap": 0.1 * i, "psnr": 30.0 - i, "ssim": 0.9} for i in range(4)]
    shown, flat = (curve(DEPTHS, rows) for rows in (figures, [figures[0]] * 4))
    picture, plain = (cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int) for png in (shown, flat))
    assert picture.shape == plain.shape
    assert (np.abs(picture - plain).max(2) > 30).sum() > 500
