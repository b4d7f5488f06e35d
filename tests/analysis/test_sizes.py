import pytest

from anomaly_diffusion.analysis.sizes import by_size


def row(share: float, score: float) -> dict[str, str]:
    return {"label": str(int(share > 0)), "defect_share": str(share), "score": str(score)}


NORMAL = [row(0, score) for score in (1, 2, 3, 4)]


def test_small_defects_may_be_missed_where_large_ones_are_found() -> None:
    small, large = by_size([*NORMAL, row(0.01, 0), row(0.02, 2.5), row(0.1, 5), row(0.2, 6)], classes=2)
    assert (small.largest, small.count, small.image_auroc) == (0.02, 2, pytest.approx(0.25))
    assert (large.largest, large.count, large.image_auroc) == (0.2, 2, pytest.approx(1.0))


def test_one_class_of_all_defects_has_the_usual_figure() -> None:
    (whole,) = by_size([*NORMAL, row(0.3, 2.5), row(0.01, 0)], classes=1)
    assert whole.image_auroc == pytest.approx(0.25)


def test_fewer_defects_than_classes_leave_classes_out() -> None:
    assert [size.count for size in by_size([*NORMAL, row(0.3, 2.5)], classes=3)] == [1]


def test_a_defect_without_a_mask_belongs_to_no_size() -> None:
    unknown = {"label": "1", "defect_share": "0.0", "score": "9"}
    assert sum(size.count for size in by_size([*NORMAL, unknown, row(0.1, 5)])) == 1


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="`classes` must be at least 1, got 0"):
        by_size(NORMAL, classes=0)
