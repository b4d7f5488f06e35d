"""What a notebook shows is small, whole and readable."""

import cv2
import numpy as np
import pytest
from pictures import decoded

from anomaly_diffusion.runs.display import Picture, Table


def encoded(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])


CHART = np.full((300, 400, 3), 255, np.uint8)
CHART[100:102] = 0
PHOTOGRAPH = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)


def test_a_chart_stays_exact_and_a_photograph_becomes_small() -> None:
    (chart,) = (value for key, value in Picture(encoded(CHART))._repr_mimebundle_().items() if key == "image/png")
    assert np.array_equal(decoded(chart), CHART)
    shown = Picture(encoded(PHOTOGRAPH))._repr_mimebundle_()
    assert "image/png" not in shown
    assert len(shown["image/jpeg"]) < len(encoded(PHOTOGRAPH)) / 2
    assert abs(decoded(shown["image/jpeg"]).astype(int).mean() - PHOTOGRAPH.mean()) < 2


def test_a_wide_picture_is_shrunk_and_a_narrow_one_left_alone() -> None:
    assert decoded(Picture(encoded(CHART), 200)._repr_mimebundle_()["image/png"]).shape == (150, 200, 3)
    assert decoded(Picture(encoded(CHART), 900)._repr_mimebundle_()["image/png"]).shape == CHART.shape
    assert repr(Picture(encoded(CHART), 200)) == "Picture of 200 x 150 pixels"


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="`width` must be positive, got 0"):
        Picture(b"", 0)
    with pytest.raises(ValueError, match="`content` must be an encoded picture"):
        repr(Picture(b"no picture"))


def test_a_table_has_a_row_for_each_name_and_a_dash_for_what_is_unknown() -> None:
    rows = {"a | b": {"x": 1 / 3, "y": 7}, "c": {"x": float("nan")}, "d": {"y": "deep"}}
    lines = Table(rows, {"x": "first", "y": "second"}, digits=2)._repr_markdown_().splitlines()
    assert lines[0] == "|  | first | second |"
    assert lines[2:] == ["| a \\| b | 0.33 | 7 |", "| c | - | - |", "| d | - | deep |"]
