"""The layout of MVTec AD: categories, names of masks, and what is absent."""

import logging
import shutil

import pytest
from trees import ready, write, write_mask

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.layouts.folder import Folder
from anomaly_diffusion.data.layouts.mvtec import MVTecAD


def test_wrong_places_are_named(tmp_path, mvtec, monkeypatch):
    monkeypatch.setenv("ANOMALY_DIFFUSION_DATA", str(tmp_path))
    assert len(MVTecAD("widget").train_samples()) == 40, "found under the environment variable"
    with pytest.raises(FileNotFoundError, match=rf"none at .*nowhere nor {tmp_path}/nowhere"):
        MVTecAD("nowhere").train_samples()
    with pytest.raises(FileNotFoundError, match="must be one of: widget"):
        MVTecAD(tmp_path).train_samples()
    for category in ("wrong", ["widget", "wrong"]):
        with pytest.raises(FileNotFoundError, match=r"wrong.*`category` .* must be one of: widget"):
            MVTecAD(tmp_path, category).train_samples()
    with pytest.raises(ValueError, match="`category` must name at least one"):
        MVTecAD(tmp_path, [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Expected train/good"):
        MVTecAD(tmp_path / "empty").train_samples()
    with pytest.raises(FileNotFoundError, match=r"No images in .*`normal`, `defects`"):
        Folder(tmp_path).train_samples()


def test_mvtec_masks_may_have_the_name_of_their_photograph(mvtec):
    for number, name in enumerate(["000.png", "001_mask.bmp", "002.bmp"]):
        (mvtec / f"ground_truth/hole/{number:03}_mask.png").rename(mvtec / "ground_truth/hole" / name)
    for number in (1, 2):
        (mvtec / f"test/hole/{number:03}.png").rename(mvtec / f"test/hole/{number:03}.bmp")
    masks = [sample.mask for sample in MVTecAD(mvtec).test_samples() if sample.label]
    assert [mask.is_file() for mask in masks] == [True] * 6
    (mvtec / "ground_truth/hole/000.png").unlink()
    missing = [sample.mask for sample in MVTecAD(mvtec).test_samples() if sample.label and not sample.mask.is_file()]
    assert missing == [mvtec / "ground_truth/hole/000_mask.png"], "where one of several is missing, it is told"


@pytest.mark.parametrize("gone", ["ground_truth", "ground_truth/hole"])
def test_mvtec_without_masks_tests_images_and_says_so(mvtec, caplog, gone):
    shutil.rmtree(mvtec / gone)
    caplog.set_level(logging.INFO)
    (batch,) = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), "test").test_dataloader()
    assert batch.label.sum() == 6
    assert not batch.mask.any()
    assert [record.message for record in caplog.records].count(
        "No masks for hole in ground_truth: image figures only."
    ) == 1


def test_mvtec_without_a_test_folder_has_no_test_photographs(mvtec):
    shutil.rmtree(mvtec / "test")
    data = AnomalyDataModule(MVTecAD(mvtec), (32, 32))
    data.expects_test = True
    data.setup("fit")
    assert data.test_labels() == set()


def test_several_categories_make_one_data_set_that_tells_them_apart(mvtec):
    shutil.copytree(mvtec, mvtec.parent / "gadget")
    for number, path in enumerate(sorted((mvtec.parent / "gadget").rglob("*.png"))):
        if "mask" not in path.name:
            write(path, 500 + number)
    data = ready(AnomalyDataModule(MVTecAD(mvtec.parent, ["gadget", "widget"]), (16, 16)), "fit", "test")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        pairs = {
            (path.split("/")[0], int(number))
            for batch in loader
            for path, number in zip(batch.path, batch.category, strict=True)
        }
        assert pairs == {("gadget", 0), ("widget", 1)}


def test_sub_folders_are_read_in_the_layout_of_mvtec(mvtec):
    write(mvtec / "train/good/monday/000.png", 50)
    write(mvtec / "test/hole/monday/000.png", 51)
    write_mask(mvtec / "ground_truth/hole/monday/000_mask.png")
    dataset = MVTecAD(mvtec)
    assert len(dataset.train_samples()) == 41
    (deep,) = (sample for sample in dataset.test_samples() if sample.path.parent.name == "monday")
    assert (deep.kind, deep.mask) == ("hole", mvtec / "ground_truth/hole/monday/000_mask.png")
    assert not examine(dataset).problems
