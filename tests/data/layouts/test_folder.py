"""A folder is read by one rule, whoever reads it: what its sub-folders are called says what they hold."""

import logging
import shutil

import pytest
import yaml
from trees import ready, write, write_mask

from anomaly_diffusion.cli import doctor
from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine, layout_of
from anomaly_diffusion.data.layouts.folder import Folder, Images

MASK_FOLDERS = ["masks", "mask", "ground_truth", "gt", "labels", "Masks", "Ground Truth"]


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


def test_sub_folders_are_read_with_their_path_and_the_kind_of_the_top_folder(photographs):
    write(photographs / "good/monday/camera 1/000.png", 50)
    write(photographs / "scratch/monday/000.png", 51)
    write_mask(photographs / "masks/scratch/monday/000_mask.png")
    dataset = Folder(photographs)
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


def test_a_folder_without_test_normals_keeps_some_and_all_their_copies(tmp_path):
    for number in range(20):
        write(tmp_path / f"good/{number:03}.png", number)
        shutil.copy(tmp_path / f"good/{number:03}.png", tmp_path / f"good/copy_{number:03}.png")
    write(tmp_path / "dent/0.png", 99)
    dataset = Folder(tmp_path)
    train, test = ({dataset.name(s) for s in samples} for samples in (dataset.train_samples(), dataset.test_samples()))
    assert len(train) == 32
    assert test - train == test
    assert all(name.replace("good/", "good/copy_") in test for name in test if "copy" not in name and "good" in name)


def test_a_defective_image_without_a_mask_has_a_label_and_no_mask(mvtec):
    dataset = Folder(mvtec, "train/good", defects=["test/hole"], masks="", test_normal="test/good")
    (batch,) = ready(AnomalyDataModule(dataset, (32, 32)), "test").test_dataloader()
    assert batch.label.sum() == 6
    assert not batch.mask.any()
    assert batch.valid.all()


def test_masks_are_found_under_the_usual_names(mvtec):
    for number, name in enumerate(["hole/000.png", "001_mask.png", "002.png"]):
        target = mvtec / "masks" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (mvtec / f"ground_truth/hole/{number:03}_mask.png").rename(target)
    dataset = Folder(mvtec, "train/good", defects=["test/hole"], masks="masks", test_normal="test/good")
    found = [sample.mask.is_file() for sample in dataset.test_samples() if sample.label]
    assert found == [True] * 3 + [False] * 3


def test_unknown_images_can_be_predicted_and_not_learned_from(mvtec):
    data = AnomalyDataModule(Images(mvtec / "test/hole"), (32, 32))
    (batch,) = ready(data, "predict").predict_dataloader()
    assert len(batch.path) == 6
    with pytest.raises(ValueError, match="`predict` only"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("visa", {"Data/Images/Normal": 10, "Data/Images/Anomaly": 3, "Data/Masks/Anomaly": 3}),
        ("btad", {"train/ok": 8, "test/ok": 2, "test/ko": 3, "ground_truth/ko": 3}),
    ],
)
def test_downloaded_sets_are_read_as_they_are(tmp_path, name, files):
    config = yaml.safe_load((experiments_folder() / "data" / f"{name}.yaml").read_text())
    settings = config["data"]["dataset"]["init_args"]
    category = tmp_path / "/".join(settings["root"].split("/")[:2])
    for folder, count in files.items():
        for number in range(count):
            write(category / folder / f"{number:03}.png", number)
    dataset = Folder(**{**settings, "root": str(tmp_path / settings["root"])})
    assert len(dataset.train_samples()) == 8
    test = dataset.test_samples()
    assert [sample.label for sample in test] == [False] * 2 + [True] * 3
    assert all(sample.mask.is_file() for sample in test if sample.label)
