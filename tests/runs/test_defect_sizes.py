import math

import pytest
from run_folders import image

from anomaly_diffusion.runs.defect_sizes import by_contrast, by_size
from anomaly_diffusion.types import ImageResult, Verdict


def row(share: float, score: float, limit: float = math.nan, **measures: float) -> ImageResult:
    said = None if math.isnan(limit) else Verdict(0.5, float(limit), score > limit)
    return image("an image", int(share > 0), float(score), defect_share=float(share), measures=measures, verdict=said)


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
    unknown = image("an image", 1, 9.0, defect_share=0.0)
    assert sum(size.count for size in by_size([*NORMAL, unknown, row(0.1, 5)])) == 1


def test_no_class_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="`classes` must be at least 1, got 0"):
        by_size(NORMAL, classes=0)


def test_recall_is_the_share_of_each_class_that_is_called_defective() -> None:
    defects = (0.01, 0), (0.02, 2.5), (0.1, 5), (0.2, 6)
    judged = [*NORMAL, *(row(*defect, limit=2.4) for defect in defects)]
    assert [size.recall for size in by_size(judged, classes=2)] == [0.5, 1.0]
    unknown = [*NORMAL, *(row(*defect) for defect in defects)]
    assert all(math.isnan(size.recall) for size in by_size(unknown, classes=2))


def test_faint_defects_may_be_missed_where_strong_ones_are_found() -> None:
    defects = [row(0.1, score, 5, defect_contrast=contrast) for contrast, score in ((0.2, 0), (3.0, 9), (math.nan, 9))]
    faint, strong = by_contrast([*NORMAL, *defects], classes=2)
    assert (faint.largest, faint.recall, faint.image_auroc) == (0.2, 0.0, pytest.approx(0.0))
    assert (strong.largest, strong.recall, strong.count) == (3.0, 1.0, 1)
