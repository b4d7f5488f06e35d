"""What a notebook shows is small, whole and readable."""

import cv2
import numpy as np
import pytest
from pictures import decoded
from run_folders import written

from anomaly_diffusion.runs.display import Picture, Table, paired_comparison


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


def groups(folder):
    """Two groups of three seeds each; of six test images "good" ranks all rightly, "poor" two thirds of the pairs."""
    rows = {"good": (1, 2, 3, 4, 5, 6), "poor": (1, 5, 3, 4, 2, 6)}
    found = {}
    for name, scores in rows.items():
        lines = [f"{at}.png,{int(at > 2)},dent,0.1,{score}" for at, score in enumerate(scores)]
        table = "\n".join(["path,label,kind,defect_share,score", *lines])
        found[name] = [
            written(folder / name / f"seed{seed}", {"pixel_ap": 0.1 * seed}, per_image=table) for seed in range(3)
        ]
    return found


def test_groups_stand_beside_a_baseline_with_the_interval_of_their_difference(tmp_path) -> None:
    shown = paired_comparison(groups(tmp_path), {"pixel_ap": "pixel AP", "aupro": "AUPRO"}, "poor")._repr_markdown_()
    head, _, good, poor = shown.splitlines()
    assert head == "|  | pixel AP | AUPRO | image AUROC less that of poor | 95 % interval |"
    assert good.startswith("| good | 0.100 ± 0.100 | - | +0.333 | ")
    low, high = map(float, good.split("|")[5].split(" to "))
    assert low < 1 / 3 < high
    assert poor == "| poor | 0.100 ± 0.100 | - | - | - |"


def test_a_baseline_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="`baseline` must be one of good, poor, got 'Poor'"):
        paired_comparison(groups(tmp_path), {}, "Poor")
