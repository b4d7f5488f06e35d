"""A folder is read by one rule, whoever reads it: what its sub-folders are called says what they hold."""

import logging

import pytest
from trees import write, write_mask

from anomaly_diffusion.cli import doctor
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine, layout_of
from anomaly_diffusion.data.layouts.folder import Folder, Images

MASK_FOLDERS = ["masks", "mask", "ground_truth", "gt", "labels", "Masks", "Ground Truth"]


@pytest.fixture
def photographs(tmp_path):
    """Twenty good photographs and three with a scratch."""
    for number in range(20):
        write(tmp_path / f"good/{number:03}.png", number)
    for number in range(3):
        write(tmp_path / f"scratch/{number:03}.png", 100 + number)
    return tmp_path


def kinds(dataset):
    return {sample.kind for sample in dataset.test_samples()}


@pytest.mark.parametrize("name", MASK_FOLDERS)
@pytest.mark.parametrize("place", ["", "scratch/"])
def test_folders_of_masks_are_masks_for_doctor_and_for_train(photographs, name, place, caplog):
    for number in range(3):
        write_mask(photographs / name / f"{place}{number:03}.png")
    assert kinds(Folder(photographs)) == {"good", "scratch"}
    assert all(record.masked > 0 for record in examine(layout_of(photographs)).kinds()["scratch"])
    data = AnomalyDataModule(Folder(photographs), (32, 32))
    with caplog.at_level(logging.INFO):
        data.setup("test")
    assert [text for text in caplog.messages if text.startswith("read as") and f"masks: {name}/" in text]
    (batch,) = data.test_dataloader()
    assert batch.mask.flatten(1).any(1).tolist() == batch.label.tolist()


def test_doctor_says_what_it_takes_for_masks(photographs, capsys):
    for number in range(3):
        write_mask(photographs / f"gt/{number:03}.png")
    assert doctor.main([str(photographs)]) == 0
    assert "read as good photographs: good/, masks: gt/." in capsys.readouterr().out


def test_two_folders_of_masks_are_asked_about(photographs):
    for name in ("masks", "labels"):
        write_mask(photographs / name / "000.png")
    with pytest.raises(ValueError, match="`masks` must say which folder holds the masks, as labels and masks all may"):
        Folder(photographs).test_samples()
    assert kinds(Folder(photographs, masks="masks")) == {"good", "scratch"}


def test_a_folder_of_labels_without_an_image_is_none_of_masks(photographs):
    (photographs / "labels").mkdir()
    (photographs / "labels/000.txt").write_text("0 .5 .5 .1 .1")
    assert [sample.mask for sample in Folder(photographs).test_samples() if sample.label] == [None] * 3


def test_masks_can_be_left_unused_and_are_still_no_kind_of_defect(photographs):
    write_mask(photographs / "masks/000.png")
    dataset = Folder(photographs, masks="")
    assert kinds(dataset) == {"good", "scratch"}
    assert all(sample.mask is None for sample in dataset.test_samples())


@pytest.mark.parametrize("name", ["000.png", "000_mask.png", "000.bmp", "000_mask.jpg"])
def test_a_mask_may_have_any_format(photographs, name):
    write_mask(photographs / "masks" / name)
    first = next(
        sample for sample in Folder(photographs).test_samples() if sample.path.name == "000.png" and sample.label
    )
    assert first.mask == photographs / "masks" / name


def test_the_mask_of_the_same_format_is_taken(photographs):
    for ending in ("png", "bmp"):
        write(photographs / f"scratch/000.{ending}", 7)
        write_mask(photographs / f"masks/scratch/000.{ending}")
    pairs = [(sample.path.suffix, sample.mask.suffix) for sample in Folder(photographs).test_samples() if sample.label]
    assert (".png", ".png") in pairs
    assert (".bmp", ".bmp") in pairs


def test_predict_judges_no_mask(photographs):
    write_mask(photographs / "masks/000.png")
    assert len(Images(photographs).test_samples()) == 23
