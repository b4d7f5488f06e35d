"""What is cut from a contact sheet is what was drawn into it."""

import cv2
import numpy as np
import pytest

from anomaly_diffusion.figures.contact_sheet import Panel, contact_sheet
from anomaly_diffusion.figures.result_pictures import ResultPictures
from anomaly_diffusion.report.sheet_parts import sheet_parts


def panel(shade, shape, rows=1):
    """A flat image, a flat reconstruction half as bright, a map without any anomaly; white images are the hard case."""
    image = np.full((*shape, 3), shade, dtype=np.float32)
    zeros = np.zeros(shape, dtype=np.float32)
    return Panel([ResultPictures("a file", False, 1.0, image, zeros > 0, image, image / 2, zeros)] * rows, "score 1")


def drawn(panels, title, tile=64):
    return cv2.imdecode(np.frombuffer(contact_sheet(panels, title, tile=tile), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("title", ["", "a title"])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 7])
def test_each_panel_gives_back_its_pictures_whatever_their_sizes(count, title):
    shapes = [[(64, 64), (64, 96), (96, 64)][index % 3] for index in range(count)]
    shades = [1.0, *np.linspace(0.2, 1, count)[1:]]
    parts = sheet_parts(drawn([panel(*one) for one in zip(shades, shapes, strict=True)], title), count, bool(title))
    assert len(parts) == count
    for found, shade, (H, W) in zip(parts, shades, shapes, strict=True):
        assert {picture.shape for picture in found} == {(found.image.shape[0], round(W * 64 / H), 3)}
        for picture, share in zip(found, (1, 0.5, 0.75), strict=True):
            np.testing.assert_allclose(picture.astype(float), 255 * shade * share, atol=1)


def test_of_several_rows_the_first_is_taken():
    (found,) = sheet_parts(drawn([panel(1.0, (64, 64), rows=3)], ""), 1, False)
    assert found.image.shape == (64, 64, 3)


@pytest.mark.parametrize("shape", [(8, 8), (300, 40), (40, 300), (120, 331)])
def test_a_picture_that_is_no_sheet_is_left_alone(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert all(part is None or min(part.image.shape[:2]) > 0 for part in sheet_parts(noise, 3, True))
    assert sheet_parts(np.full((*shape, 3), 255, np.uint8), 2, False) == [None, None]
