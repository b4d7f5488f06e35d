"""A mask means what its maker meant, whatever program and format it went through."""

import logging

import cv2
import numpy as np
import pytest
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.notes import FaintMask, LargeMask, SoftMask, noting
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask

SIZE = 100, 200
AREA = 546  # 21 x 26 pixels, at places that are no multiple of the 8 of JPEG


def squares(*labels, value=255):
    """A square of 546 pixels for each label, apart from each other."""
    mask = np.zeros(SIZE, np.uint8)
    for number, label in enumerate(labels or [value]):
        mask[33:54, 11 + 45 * number : 37 + 45 * number] = label
    return mask


def read(folder, pixels, ending=".png", *settings):
    path = folder / f"mask{ending}"
    assert cv2.imwrite(str(path), pixels, settings)
    return read_mask(path, SIZE)


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95, 100])
def test_a_square_saved_as_jpeg_keeps_its_area(tmp_path, quality):
    assert abs(read(tmp_path, squares(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality).sum() - AREA) <= 6


@pytest.mark.parametrize("side", [3, 5])
def test_an_antialiased_square_keeps_its_area_in_any_format(tmp_path, side):
    soft = cv2.GaussianBlur(squares(), (side, side), 0)
    assert abs(read(tmp_path, soft).sum() - AREA) <= 6
    assert abs(read(tmp_path, soft, ".jpg").sum() - AREA) <= 6


def test_half_of_the_maximum_decides_in_a_smooth_mark(tmp_path):
    row, column = np.mgrid[: SIZE[0], : SIZE[1]]
    smooth = 200 * np.exp(-((row - 50) ** 2 + (column - 90) ** 2) / (2 * 15**2))
    assert (
        read(tmp_path, smooth.astype(np.uint8)).sum()
        == (smooth.astype(np.uint8) >= smooth.astype(np.uint8).max() / 2).sum()
    )


@pytest.mark.parametrize("labels", [(1,), (128,), (236,), (1, 2, 3), (1, 2, 3, 236), (50, 100, 150), (85, 170, 255)])
def test_every_label_is_a_defect(tmp_path, labels):
    assert np.array_equal(read(tmp_path, squares(*labels)), squares(*labels) > 0)
    assert np.array_equal(read(tmp_path, squares(*labels).astype(np.uint16)), squares(*labels) > 0)


def test_labels_side_by_side_are_no_soft_edge(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    for number in range(1, 4):
        mask[10 + number, 20:60] = number
    assert read(tmp_path, mask).sum() == 120


@pytest.mark.parametrize("quality", [75, 90, 95])
@pytest.mark.parametrize("labels", [(236,), (85, 170, 255), (50, 100, 150), (60, 236)])
def test_every_label_that_stands_out_of_jpegs_noise_is_a_defect(tmp_path, labels, quality):
    found = read(tmp_path, squares(*labels), ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)
    assert abs(found.sum() - AREA * len(labels)) <= 6 * len(labels)


def test_labels_as_faint_as_jpegs_noise_are_all_counted_and_warned_of(tmp_path):
    notes = []
    with noting(notes):
        found = read(tmp_path, squares(1, 2, 3), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 75)
    assert found[squares(1, 2, 3) > 0].mean() > 0.95
    assert [type(note) for note in notes] == [SoftMask, FaintMask]


@pytest.mark.parametrize("colour", [0, 255])
def test_a_mask_in_an_alpha_channel_is_read(tmp_path, colour):
    drawn = np.full((*SIZE, 4), colour, np.uint8)
    drawn[..., 3] = squares()
    assert np.array_equal(read(tmp_path, drawn), squares() > 0)


def test_what_alpha_hides_is_not_marked_and_an_alpha_of_one_value_hides_nothing(tmp_path):
    drawn = np.repeat(squares(255, 255)[..., None], 4, axis=2)
    drawn[..., 3] = squares(255, 0)
    assert np.array_equal(read(tmp_path, drawn), squares() > 0)
    drawn[..., 3] = 0
    assert np.array_equal(read(tmp_path, drawn), squares(255, 255) > 0)


def test_a_mask_that_marks_more_than_half_is_warned_of(tmp_path):
    notes = []
    with noting(notes):
        read(tmp_path, np.full(SIZE, 255, np.uint8))
        read(tmp_path, squares())
    assert [note.path.name for note in notes if isinstance(note, LargeMask)] == ["mask.png"]


@pytest.fixture
def soft_and_hard(mvtec):
    """The masks of the data set, one of them antialiased and one of them inverted."""
    masks = mvtec / "ground_truth/hole"
    hard = cv2.imread(str(masks / "000_mask.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(masks / "000_mask.png"), cv2.GaussianBlur(hard, (5, 5), 0))
    cv2.imwrite(str(masks / "001_mask.png"), 255 - hard)
    return mvtec


RULES = (
    "masks: 5 with few values, of which every one but 0 marks a defect; "
    "1 with many grey levels, of which half of the maximum decides."
)


def test_doctor_says_which_rule_a_set_needed_and_which_masks_are_large(soft_and_hard):
    health = examine(MVTecAD(soft_and_hard))
    assert RULES in [told.text for told in health.told() if not told.warns]
    (warning,) = (warning for warning in health.warnings() if "more than half" in warning)
    assert "1 mask marks" in warning
    assert "001_mask.png" in warning


def test_a_test_says_so_too_once(soft_and_hard, caplog):
    data = AnomalyDataModule(MVTecAD(soft_and_hard), (32, 32))
    with caplog.at_level(logging.INFO):
        data.setup("test")
        data.setup("predict")
    assert [record.levelname for record in caplog.records if record.message == RULES] == ["INFO"]
    (large,) = (record for record in caplog.records if "more than half" in record.message)
    assert large.levelname == "WARNING"


def test_notes_do_not_outlive_who_gathers_them(tmp_path):
    notes = []
    with pytest.raises(BadImages), noting(notes):
        read_mask(write(tmp_path / "black.png", 0, SIZE), (1, 1))
    read(tmp_path, squares())
    assert not notes
