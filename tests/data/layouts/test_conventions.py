"""Nothing is skipped silently: what is hidden is hidden, what is an image is read, what is left out is told."""

import logging

import pytest
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine, layout_of
from anomaly_diffusion.data.layouts.conventions import image_files, may_be_normal
from anomaly_diffusion.data.layouts.folder import Folder
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.reading.notes import LeftOut, LeftOutImage


def names(dataset, label):
    return {dataset.name(sample): sample.kind for sample in dataset.test_samples() if sample.label == label}


def test_hidden_folders_beside_those_of_photographs_are_neither_kinds_nor_left_out(photographs):
    for hidden in (".ipynb_checkpoints/000.png", "__MACOSX/0.png", "@eaDir/0.png"):
        write(photographs / hidden, 1)
    dataset = Folder(photographs)
    assert set(names(dataset, True).values()) == {"scratch"}
    assert not [note for note in dataset.notes() if isinstance(note, LeftOut | LeftOutImage)]


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


def test_a_kind_of_defect_is_not_asked_about():
    assert not any(map(may_be_normal, ["not_good", "nok", "abnormal", "bad", "scratch", "token"]))


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
