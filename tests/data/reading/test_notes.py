"""Files that hold less, or more, than one would think are told of: 12 bits of 16, several pages, a single pixel."""

import logging

import cv2
import numpy as np
import pytest
from PIL import Image
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.notes import Pages, noting
from anomaly_diffusion.data.reading.orientation import Header
from anomaly_diffusion.data.reading.photographs import BadImages, read_pixels


def deepen(root, brightest):
    """Make the photographs of a category what a camera writes, none of their values above `brightest`."""
    for path in [*root.glob("train/*/*.png"), *root.glob("test/*/*.png")]:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float64)
        cv2.imwrite(str(path), np.round(grey / grey.max() * brightest).astype(np.uint16))
    return root


def told(root, white_level=65535):
    return [text for text in examine(MVTecAD(root, white_level=white_level)).warnings() if "white_level" in text]


@pytest.mark.parametrize(
    ("brightest", "fit"), [(255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4080, 4095), (16383, 16383)]
)
def test_the_white_level_that_fits_is_told(mvtec, brightest, fit):
    (warning,) = told(deepen(mvtec, brightest))
    assert f"50 photographs of 16 bits: brightest value {brightest} of 65535" in warning
    assert f"set `white_level {fit}`" in warning
    assert not told(mvtec, white_level=fit)


def test_a_level_that_was_set_is_not_doubted_unless_it_cuts(mvtec):
    deepen(mvtec, 4080)
    assert not told(mvtec, white_level=16383)
    (warning,) = told(mvtec, white_level=1023)
    assert "brightest value 4080, above `white_level 1023`" in warning


@pytest.mark.parametrize("brightest", [16384, 65535])
def test_files_that_use_their_sixteen_bits_are_no_matter(mvtec, brightest):
    assert not told(deepen(mvtec, brightest))


def test_one_bright_file_shows_what_the_camera_can_do(mvtec):
    cv2.imwrite(str(deepen(mvtec, 900) / "train/good/000.png"), np.full((40, 48), 4000, np.uint16))
    assert "`white_level 4095`" in told(mvtec)[0]


def test_the_log_says_so_too(mvtec, caplog):
    with caplog.at_level(logging.WARNING):
        AnomalyDataModule(MVTecAD(deepen(mvtec, 4080)), (32, 32)).setup("fit")
    (text,) = caplog.messages
    assert "40 photographs of 16 bits: brightest value 4080 of 65535" in text
    assert "`white_level 4095`" in text


@pytest.mark.parametrize("ending", ["tif", "gif"])
def test_the_first_page_is_used_and_said_to_be(tmp_path, ending):
    first, second = (np.full((20, 30), value, np.uint8) for value in (10, 200))
    path = tmp_path / f"pages.{ending}"
    Image.fromarray(first).save(path, save_all=True, append_images=[Image.fromarray(second)])
    notes = []
    with noting(notes):
        assert (read_pixels(path) == 10).all()
    assert notes == [Pages(path, 2)]
    assert Pages.tell(notes) == f"1 file with several pages, of which page 1 is used: {path}."


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_pages_of_large_tiffs_are_counted(byte_order):
    def number(value, size):
        return value.to_bytes(size, byte_order)

    start = b"II" if byte_order == "little" else b"MM"
    header = start + number(43, 2) + number(8, 2) + number(0, 2) + number(16, 8)
    tag = number(274, 2) + number(3, 2) + number(1, 8) + number(6, 2) + bytes(6)
    pages = number(1, 8) + tag + number(52, 8), number(1, 8) + tag + number(16, 8)  # the second leads back
    assert Header.of(header + b"".join(pages)) == (6, 2)


def test_doctor_names_files_with_several_pages_and_of_a_single_pixel(mvtec):
    pages = [Image.open(mvtec / "train/good/000.png")] * 3
    (mvtec / "train/good/000.png").unlink()
    pages[0].load()
    pages[0].save(mvtec / "train/good/000.tif", save_all=True, append_images=pages[1:])
    write(mvtec / "train/good/001.png", 0, (1, 1, 3))
    health = examine(MVTecAD(mvtec))
    assert [text for text in health.warnings() if "page 1 is used" in text and "000.tif" in text]
    assert health.problems == {
        str(mvtec / "train/good/001.png"): "is 1 x 1 pixel, no photograph; copy it again or delete it"
    }


def test_a_single_row_is_a_photograph(tmp_path):
    assert read_pixels(write(tmp_path / "row.png", 0, (1, 5, 3))).shape == (1, 5, 3)
    with pytest.raises(BadImages, match="1 x 1 pixel"):
        read_pixels(write(tmp_path / "dot.png", 0, (1, 1)))
