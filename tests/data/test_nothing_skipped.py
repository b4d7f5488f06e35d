"""Nothing is skipped silently: what is hidden is hidden, what is an image is read, what is left out is told."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from trees import write, write_mask

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine, layout_of
from anomaly_diffusion.data.layouts.conventions import image_files, may_be_normal
from anomaly_diffusion.data.layouts.folder import Folder, Images
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask, read_pixels

RGB = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
LOSSLESS = ["gif", "png", "apng", "bmp", "dib", "pcx", "ppm", "pnm", "qoi", "sgi", "tga", "tif", "tiff", "dds"]
NEAR = ["jpg", "jpeg", "jpe", "jfif", "jp2", "j2k", "webp", "avif"]


@pytest.fixture
def photographs(tmp_path):
    """Twenty good photographs and three with a scratch."""
    for number in range(20):
        write(tmp_path / f"good/{number:03}.png", number)
    for number in range(3):
        write(tmp_path / f"scratch/{number:03}.png", 100 + number)
    return tmp_path


def names(dataset, label):
    return {dataset.name(sample): sample.kind for sample in dataset.test_samples() if sample.label == label}


@pytest.mark.parametrize("ending", LOSSLESS)
def test_formats_of_pillow_are_read_to_the_bit(tmp_path, ending):
    image = Image.fromarray(RGB)
    image = image.quantize(256) if ending == "gif" else image
    image.save(tmp_path / f"a.{ending}")
    (path,) = image_files(tmp_path)
    assert np.array_equal(read_pixels(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("ending", NEAR)
def test_lossy_formats_are_read(tmp_path, ending):
    smooth = cv2.resize(RGB[:2, :2], (64, 48), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(smooth).save(tmp_path / f"a.{ending}", quality=95)
    (path,) = image_files(tmp_path)
    assert np.abs(read_pixels(path).astype(int) - smooth).mean() < 3


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


HIDDEN = [".ipynb_checkpoints/000.png", "good/.ipynb_checkpoints/000.png", "scratch/.hidden/0.png", "__MACOSX/0.png"]


@pytest.mark.parametrize("hidden", [*HIDDEN, "good/._000.png", "scratch/Thumbs.db"])
def test_what_is_hidden_is_hidden(photographs, hidden):
    dataset = Folder(photographs)
    before = names(dataset, True), names(dataset, False), dataset.train_samples()
    write(photographs / "0.png", 1).rename(write(photographs / f"{hidden}.png", 1).with_name(Path(hidden).name))
    (photographs / f"{hidden}.png").unlink()
    again = Folder(photographs)
    assert (names(again, True), names(again, False), again.train_samples()) == before
    assert "left out" not in " ".join(told.text for told in examine(again).told())


@pytest.mark.parametrize("hidden", ["test/.ipynb_checkpoints/0.png", "train/good/.cache/0.png"])
def test_what_is_hidden_is_hidden_in_the_layout_of_mvtec(mvtec, hidden):
    write(mvtec / hidden, 1)
    assert len(MVTecAD(mvtec).train_samples()) == 40
    assert {sample.kind for sample in MVTecAD(mvtec).test_samples()} == {"good", "hole"}


def test_sub_folders_are_read_with_their_path_and_the_kind_of_the_top_folder(photographs):
    write(photographs / "good/monday/camera 1/000.png", 50)
    write(photographs / "scratch/monday/000.png", 51)
    write_mask(photographs / "masks/scratch/monday/000_mask.png")
    dataset = Folder(photographs)
    assert names(dataset, True)["scratch/monday/000.png"] == "scratch"
    listed = {dataset.name(sample) for sample in (*dataset.train_samples(), *dataset.test_samples())}
    assert "good/monday/camera 1/000.png" in listed
    (mask,) = (sample.mask for sample in dataset.test_samples() if sample.path.parent.name == "monday" and sample.label)
    assert mask == photographs / "masks/scratch/monday/000_mask.png"
    assert len(Images(photographs / "scratch").test_samples()) == 4
    for number in range(3):
        write_mask(photographs / f"masks/scratch/{number:03}.png")
    data = AnomalyDataModule(dataset, (32, 32))
    data.setup("test")
    (batch,) = data.test_dataloader()
    assert dict(zip(batch.path, batch.kind, strict=True))["scratch/monday/000.png"] == "scratch"


def test_sub_folders_are_read_in_the_layout_of_mvtec(mvtec):
    write(mvtec / "train/good/monday/000.png", 50)
    write(mvtec / "test/hole/monday/000.png", 51)
    write_mask(mvtec / "ground_truth/hole/monday/000_mask.png")
    dataset = MVTecAD(mvtec)
    assert len(dataset.train_samples()) == 41
    (deep,) = (sample for sample in dataset.test_samples() if sample.path.parent.name == "monday")
    assert (deep.kind, deep.mask) == ("hole", mvtec / "ground_truth/hole/monday/000_mask.png")
    assert not examine(dataset).problems


def test_links_that_lead_back_are_followed_once(photographs):
    (photographs / "good/loop").symlink_to(photographs / "good")
    assert len(image_files(photographs / "good")) == 20


def test_what_is_left_out_is_listed_by_doctor_and_counted_in_the_log(photographs, caplog):
    write(photographs / "stray.png", 1)
    (photographs / "good/note.txt").write_text("taken on a Monday")
    (photographs / "good/phone.heic").write_bytes(b"of a phone")
    images = f"2 images left out, for the folder or the format: {photographs}/good/phone.heic, {photographs}/stray.png."
    others = f"1 file left out, being no image: {photographs}/good/note.txt."
    health = examine(layout_of(photographs))
    assert images in health.warnings()
    assert others in [told.text for told in health.told() if not told.warns]
    with caplog.at_level(logging.INFO):
        AnomalyDataModule(Folder(photographs), (32, 32)).setup("fit")
    levels = {record.message: record.levelname for record in caplog.records}
    assert (levels[images], levels[others]) == ("WARNING", "INFO")


@pytest.mark.parametrize("name", ["good", "Good", "OK", "ok", "normal", "Normals", "train_good"])
def test_good_photographs_go_by_many_names(photographs, name):
    (photographs / "good").rename(photographs / "there")
    (photographs / "there").rename(photographs / name)
    dataset = Folder(photographs)
    assert len(dataset.train_samples()) == 16
    assert set(names(dataset, True).values()) == {"scratch"}


@pytest.mark.parametrize("name", ["good_test", "GoodTest", "test-ok", "normal test"])
def test_good_photographs_to_test_on_go_by_many_names(photographs, name):
    write(photographs / name / "0.png", 60)
    dataset = Folder(photographs)
    assert names(dataset, False) == {f"{name}/0.png": "good"}
    assert len(dataset.train_samples()) == 20
    assert set(names(dataset, True).values()) == {"scratch"}


@pytest.mark.parametrize("name", ["good_old", "OK", "scratch/good", "validation_good"])
def test_what_may_be_good_is_asked_about(photographs, name):
    write(photographs / name / "0.png", 60)
    with pytest.raises(ValueError, match=r"`normal` must say|`defects` must list"):
        Folder(photographs).test_samples()
    assert names(Folder(photographs, "good", ["scratch"]), True)


@pytest.mark.parametrize("name", ["not_good", "nok", "abnormal", "bad", "scratch", "token"])
def test_a_kind_of_defect_is_not_asked_about(name):
    assert not may_be_normal(name)


@pytest.mark.parametrize("name", ["Good", "OK", "normal"])
def test_good_photographs_go_by_many_names_in_the_layout_of_mvtec(mvtec, name):
    for use in ("train", "test"):
        (mvtec / use / "good").rename(mvtec / use / "there")
        (mvtec / use / "there").rename(mvtec / use / name)
    dataset = layout_of(mvtec)
    assert isinstance(dataset, MVTecAD)
    assert len(dataset.train_samples()) == 40
    assert len(names(dataset, False)) == 4
    assert isinstance(layout_of(mvtec.parent), MVTecAD)


def test_a_doubtful_kind_is_asked_about_in_the_layout_of_mvtec(mvtec):
    write(mvtec / "test/good_old/0.png", 60)
    with pytest.raises(ValueError, match="good_old may hold good photographs"):
        MVTecAD(mvtec).test_samples()
