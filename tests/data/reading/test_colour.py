"""Grey is grey whatever the file says; grey and coloured photographs in one set are used as they are, and told of."""

import logging

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.layouts.folder import Images
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.colour import channels_seen, with_channels
from anomaly_diffusion.data.reading.photographs import read_pixels

GREY = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
SAME = np.repeat(GREY[..., None], 3, axis=2)


def with_alpha():
    return Image.fromarray(np.stack([GREY, np.full_like(GREY, 255)], axis=-1))


def with_palette():
    image = Image.fromarray(GREY).convert("P")
    image.putpalette([level for level in range(256) for _ in range(3)])
    image.putdata(GREY.flatten().tolist())
    return image


@pytest.mark.parametrize("image", [with_alpha(), with_palette(), Image.fromarray(SAME), Image.fromarray(GREY)])
def test_a_grey_file_of_any_make_is_read_as_the_same_grey(tmp_path, image):
    image.save(tmp_path / "grey.png")
    assert np.array_equal(read_pixels(tmp_path / "grey.png"), GREY[..., None])


@pytest.mark.parametrize(
    ("odd", "by", "channels"), [(0, 0, 1), (10000, 8, 1), (10000, 9, 3), (10, 255, 1), (11, 255, 3)]
)
@pytest.mark.parametrize("end", [1, -1])
def test_grey_may_differ_by_eight_levels_at_all_but_a_thousandth_of_its_pixels(odd, by, channels, end):
    pixels = np.full((100, 100, 3), 100, np.uint8)
    pixels.reshape(-1, 3)[::end][:odd, 1] = (100 + by) % 256 if by < 255 else 0
    pixels.reshape(-1, 3)[::end][:odd, 2] = 100 if by < 255 else 255
    assert channels_seen(pixels) == channels


def test_chroma_noise_of_jpeg_is_grey_and_is_kept(tmp_path):
    cv2.imwrite(str(tmp_path / "tinted.png"), cv2.blur(SAME, (9, 9)) + np.array([2, 0, 3], np.uint8))
    cv2.imwrite(str(tmp_path / "grey.jpg"), cv2.imread(str(tmp_path / "tinted.png")))
    pixels = read_pixels(tmp_path / "grey.jpg")
    assert pixels.shape[2] == 3, "a faint tint, or a small coloured defect, is not thrown away"
    assert channels_seen(pixels) == 1


def test_a_frame_of_grey_is_the_same_whether_stored_as_grey_or_rgb(tmp_path):
    for name, content in (("grey", GREY), ("rgb", SAME)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), content)
    for channels in (1, 3):
        grey, rgb = (with_channels(read_pixels(tmp_path / f"{name}.png"), channels) for name in ("grey", "rgb"))
        assert np.array_equal(grey, rgb)


@pytest.fixture
def mixed(mvtec):
    """Coloured photographs, and two grey ones among them."""
    for name in ("000.png", "001.png"):
        write(mvtec / "train/good" / name, 7, (40, 48))
    return mvtec


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_a_mixed_set_is_converted_with_one_warning_that_lists_the_fewer(mixed, cache_mb, caplog):
    data = AnomalyDataModule(MVTecAD(mixed), (32, 32), loading=Loading(cache_mb=cache_mb))
    with caplog.at_level(logging.WARNING):
        data.setup("fit")
    (text,) = (record.message for record in caplog.records if "channels" in record.message)
    assert text.startswith("2 photographs grey, 38 coloured: all are converted to `channels`")
    assert text.index("train/good/000.png") < text.index("train/good/001.png")
    assert "002.png" not in text
    assert all(batch.image.shape[1] == 3 for batch in data.train_dataloader())


def test_doctor_warns_of_a_mixed_set_and_finds_no_bad_file(mixed):
    health = examine(MVTecAD(mixed))
    assert not health.problems
    assert [warning for warning in health.warnings() if warning.startswith("2 photographs grey, 48 coloured")]


def test_photographs_stored_as_rgb_among_grey_ones_are_no_mixture(mvtec, caplog):
    for number, path in enumerate(sorted((mvtec / "train/good").iterdir())):
        cv2.imwrite(str(path), np.roll(SAME if number < 15 else GREY, number, axis=0))
    with caplog.at_level(logging.WARNING):
        AnomalyDataModule(MVTecAD(mvtec), (32, 32)).setup("fit")
    assert not caplog.records


def test_predict_sees_each_file_as_it_sees_it_alone(mixed, tmp_path):
    together = frames(mixed / "train/good")
    for name in ("000.png", "002.png"):
        alone = tmp_path / name[:3] / name
        alone.parent.mkdir()
        alone.write_bytes((mixed / "train/good" / name).read_bytes())
        assert torch.equal(frames(alone.parent)[name], together[name])


def frames(folder):
    data = AnomalyDataModule(Images(folder), (32, 32))
    data.setup("predict")
    batches = list(data.predict_dataloader())
    return {name: image for batch in batches for name, image in zip(batch.path, batch.image, strict=True)}
