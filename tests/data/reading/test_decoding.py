"""Every image format that is listed can be read, to the bit where it keeps all bits."""

import cv2
import numpy as np
import pytest
from PIL import Image

from anomaly_diffusion.data.layouts.conventions import image_files
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask, read_pixels

RGB = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
LOSSLESS = ["gif", "png", "apng", "bmp", "dib", "pcx", "ppm", "pnm", "qoi", "sgi", "tga", "tif", "tiff", "dds"]
NEAR = ["jpg", "jpeg", "jpe", "jfif", "jp2", "j2k", "webp", "avif"]


def test_formats_of_pillow_are_read_to_the_bit(tmp_path):
    images = {ending: Image.fromarray(RGB) for ending in LOSSLESS}
    images["gif"] = images["gif"].quantize(256)
    for ending, image in images.items():
        image.save(tmp_path / f"a.{ending}")
    paths = {path.suffix[1:]: path for path in image_files(tmp_path)}
    assert paths.keys() == images.keys()
    read = {ending: np.array_equal(read_pixels(paths[ending]), images[ending].convert("RGB")) for ending in LOSSLESS}
    assert [ending for ending, same in read.items() if not same] == []


def test_lossy_formats_are_read(tmp_path):
    smooth = cv2.resize(RGB[:2, :2], (64, 48), interpolation=cv2.INTER_CUBIC)
    for ending in NEAR:
        Image.fromarray(smooth).save(tmp_path / f"a.{ending}", quality=95)
    paths = image_files(tmp_path)
    assert len(paths) == len(NEAR)
    assert [path.name for path in paths if np.abs(read_pixels(path).astype(int) - smooth).mean() >= 3] == []


MODES = [("1", "pcx"), ("L", "tga"), ("LA", "tga"), ("RGBA", "tga"), ("CMYK", "jpg"), ("I;16", "jp2")]


@pytest.mark.parametrize(("mode", "ending"), MODES)
def test_modes_of_pillow_are_read(tmp_path, mode, ending):
    grey = np.tile(np.arange(24, dtype=np.uint8) * 10, (16, 1))
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert("RGB")
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / f"a.{ending}")
    (path,) = image_files(tmp_path)
    shown = Image.fromarray(grey).convert("1") if mode == "1" else Image.fromarray(grey)
    assert np.abs(read_pixels(path)[..., 0].astype(int) - np.asarray(shown.convert("L"))).max() < 4


@pytest.mark.parametrize("ending", ["gif", "jp2", "tga", "qoi"])
def test_a_spoilt_file_of_any_format_is_named(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(BadImages, match="corrupt"):
        read_pixels(path)


def test_a_gif_can_be_a_mask(tmp_path):
    drawn = np.zeros((16, 24), np.uint8)
    drawn[4:8, 5:10] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.gif")
    assert np.array_equal(read_mask(tmp_path / "mask.gif", (16, 24)), drawn > 0)
