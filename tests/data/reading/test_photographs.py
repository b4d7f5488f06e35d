import resource

import cv2
import numpy as np
import pytest
from trees import write, write_mask

from anomaly_diffusion.data.reading.colour import with_channels
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask, read_pixels


@pytest.fixture
def ramp():
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


def test_grey_and_colour_are_read_as_stored(tmp_path, ramp):
    rgb = np.stack([ramp, ramp.T, 255 - ramp], axis=-1)
    assert np.array_equal(read_pixels(saved(tmp_path / "grey.png", ramp))[..., 0], ramp)
    assert np.array_equal(read_pixels(saved(tmp_path / "rgb.png", rgb[..., ::-1])), rgb)


def test_sixteen_bit_is_scaled_by_its_white_level(tmp_path, ramp):
    deep = ramp.astype(np.uint16) * 16
    path = saved(tmp_path / "deep.png", deep)
    assert np.array_equal(read_pixels(path, white_level=255 * 16)[..., 0], ramp)
    assert read_pixels(path).max() == 16
    assert read_pixels(path, white_level=100).max() == 255


def test_a_palette_is_looked_up(tmp_path):
    from PIL import Image

    image = Image.new("P", (2, 2))
    image.putpalette([250, 10, 20, 5, 200, 30])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png")
    assert read_pixels(tmp_path / "palette.png")[0].tolist() == [[250, 10, 20], [5, 200, 30]]


def test_transparent_pixels_are_black_whatever_colour_they_hide(tmp_path):
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[..., 0], rgba[..., 3] = 100, [255, 0, 255, 128]
    pixels = read_pixels(saved(tmp_path / "alpha.png", rgba))
    assert pixels.shape == (4, 4, 3)
    assert pixels[0, :, 0].tolist() == [200, 0, 200, 100]


def test_grey_is_repeated_and_colour_is_weighed(ramp):
    grey = ramp[..., None]
    assert np.array_equal(with_channels(with_channels(grey, 3), 1), grey)


@pytest.mark.parametrize("value", [1, 128, 255])
def test_any_non_zero_mask_value_is_a_defect(tmp_path, value):
    mask = read_mask(write_mask(tmp_path / "mask.png", value=value), (40, 48))
    assert mask.sum() == 10 * 20


def test_an_opaque_but_black_mask_is_empty(tmp_path):
    rgba = np.zeros((40, 48, 4), np.uint8)
    rgba[..., 3] = 255
    with pytest.raises(BadImages, match="mask is empty"):
        read_mask(saved(tmp_path / "mask.png", rgba), (40, 48))


def test_what_is_wrong_with_a_mask_is_said(tmp_path):
    for path, size, message in [
        (tmp_path / "none.png", (40, 48), "mask is missing"),
        (write_mask(tmp_path / "empty.png", value=0), (40, 48), "mask is empty"),
        (write_mask(tmp_path / "other.png"), (48, 40), "mask is 40 x 48, its photograph 48 x 40"),
    ]:
        with pytest.raises(BadImages, match=message):
            read_mask(path, size)


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_file_that_stops_early_is_refused(tmp_path, ending):
    path = write(tmp_path / f"image{ending}", 0, (64, 64, 3))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(BadImages, match="corrupt"):
        read_pixels(path)


def test_a_chunk_that_claims_more_than_the_file_holds_gets_no_memory(tmp_path):
    path = write(tmp_path / "image.png", 0, (64, 64, 3))
    content = path.read_bytes()
    data = content.index(b"IDAT")
    path.write_bytes(content[: data - 4] + b"\xf0\x00\x00\x00" + content[data:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadImages, match="corrupt"):
        read_pixels(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_what_is_no_photograph_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "zero.png").touch()
    cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((4, 4), np.float32))
    for name, message in [("text.png", "corrupt"), ("zero.png", "0 bytes"), ("float.tiff", "float32")]:
        with pytest.raises(BadImages, match=message):
            read_pixels(tmp_path / name)


def test_a_long_list_of_bad_files_is_cut_and_counted():
    message = str(BadImages({f"{number}.png": "is corrupt" for number in range(25)}))
    assert message.startswith("25 files are unusable")
    assert message.endswith("... and 15 more")
    assert len(message.splitlines()) == 12
