"""Photographs are seen the way up that their camera says, in every format, and their masks with them."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from trees import write

from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.orientation import Header, upright
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask, read_pixels

STORED = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8), (48, 40), interpolation=cv2.INTER_CUBIC
)
EXACT = {"png": {}, "tif": {}, "tiff": {"compression": "tiff_lzw"}, "webp": {"lossless": True}}
NEAR = {"jpg": {"quality": 95}, "avif": {"quality": 95}}
ALL = range(1, 9)


def tagged(path, orientation, pixels=STORED, **settings):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **settings)
    return path


def seen(path):
    """What Pillow, an independent reader, shows."""
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")).astype(int)


@pytest.mark.parametrize("ending", [*EXACT, *NEAR])
def test_every_format_is_seen_as_a_viewer_shows_it(tmp_path, ending):
    for orientation in ALL:
        path = tagged(tmp_path / f"{orientation}.{ending}", orientation, **(EXACT | NEAR)[ending])
        difference = np.abs(read_pixels(path).astype(int) - seen(path))
        assert difference.max() == 0 if ending in EXACT else difference.mean() < 3, orientation


def test_sixteen_bits_and_masks_are_turned_as_well(tmp_path):
    deep = STORED[..., 0].astype(np.uint16) * 257
    drawn = np.zeros((40, 48), np.uint8)
    drawn[3:9, 5:20] = 255
    for orientation in ALL:
        for ending in ("png", "tif"):
            path = tagged(tmp_path / f"a.{ending}", orientation, deep)
            assert np.array_equal(read_pixels(path)[..., 0], upright(STORED[..., 0], orientation)), orientation
        turned = upright(drawn, orientation)
        mask = read_mask(tagged(tmp_path / "mask.png", orientation, drawn), turned.shape)
        assert np.array_equal(mask, turned > 0), orientation


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("drawn_on", ["seen", "stored"])
def test_a_mask_that_fits_the_stored_pixels_only_is_turned_along(mvtec, orientation, drawn_on):
    marked = STORED.copy()
    marked[3:9, 5:20] = [255, 0, 255]
    photograph = tagged(mvtec / "test/hole/000.png", orientation, marked)
    mask = (marked == [255, 0, 255]).all(2).astype(np.uint8) * 255
    drawn = upright(mask, orientation) if drawn_on == "seen" else mask
    cv2.imwrite(str(mvtec / "ground_truth/hole/000_mask.png"), drawn)
    dataset = MVTecAD(mvtec)
    pixels, found = next(dataset.read(sample) for sample in dataset.test_samples() if sample.path == photograph)
    assert np.array_equal(found, (pixels == [255, 0, 255]).all(2))


def test_a_mask_of_another_shape_is_turned_for_no_other_reason(tmp_path):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((48, 40), 255, np.uint8))
    for orientation in (1, 3):
        photograph = tagged(tmp_path / "photograph.png", orientation)
        with pytest.raises(BadImages, match="mask is 48 x 40, its photograph 40 x 48"):
            read_mask(tmp_path / "mask.png", (40, 48), photograph)


def test_doctor_counts_tagged_photographs(mvtec):
    for number, orientation in enumerate([1, 3, 6, 8]):
        tagged(mvtec / f"train/good/{number:03}.png", orientation)
    assert "3 photographs turned, as the orientation tag says, and as viewers do." in [
        told.text for told in examine(MVTecAD(mvtec)).told()
    ]


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_a_file_that_says_nonsense_is_taken_as_it_is_stored(tmp_path, ending):
    content = tagged(tmp_path / f"a.{ending}", 6).read_bytes()
    assert Header.of(content).orientation == 6
    assert (
        Header.of(
            content.replace(b"\x12\x01\x03\x00\x01\x00\x00\x00\x06", b"\x12\x01\x03\x00\x01\x00\x00\x00\x0c").replace(
                b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x0c"
            )
        ).orientation
        == 1
    )
    for length in range(min(len(content), 400)):
        assert Header.of(content[:length]).orientation in (1, 6)


def test_a_file_without_a_tag_is_untouched(tmp_path):
    assert Header.of(write(tmp_path / "a.png", 0).read_bytes()) == (1, 1)
