import logging
import shutil

import numpy as np
import pytest
import torch
import yaml
from trees import write, write_mask

from anomaly_diffusion.cli.arguments import experiments_folder
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.framing import CenterCrop
from anomaly_diffusion.data.layouts.folder import Folder, Images
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.data.split import Validation
from anomaly_diffusion.data.transforms import Augmentation

FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True)


def ready(data, *stages):
    for stage in stages:
        data.setup(stage)
    return data


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


def test_every_bad_file_is_listed_at_once(mvtec):
    good = mvtec / "train/good"
    (good / "000.png").write_bytes(b"")
    (good / "001.png").write_bytes(b"no image at all")
    with pytest.raises(BadImages) as error:
        AnomalyDataModule(MVTecAD(mvtec), (32, 32)).setup("fit")
    message = str(error.value)
    assert "2 files are unusable" in message
    for name, problem in [("000.png", "0 bytes"), ("001.png", "corrupt")]:
        assert any(name in line and problem in line for line in message.splitlines())


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_every_bad_mask_is_listed_at_once(mvtec, cache_mb):
    masks = mvtec / "ground_truth/hole"
    (masks / "000_mask.png").unlink()
    write_mask(masks / "001_mask.png", value=0)
    write_mask(masks / "002_mask.png", size=(48, 40))
    with pytest.raises(BadImages) as error:
        AnomalyDataModule(MVTecAD(mvtec), (32, 32), loading=Loading(cache_mb=cache_mb)).setup("test")
    problems = error.value.problems
    assert ["missing" in text or "empty" in text or "48 x 40" in text for text in problems.values()] == [True] * 3
    assert sorted(path.rpartition("/")[2] for path in problems) == [f"00{number}_mask.png" for number in range(3)]


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


def test_unknown_images_can_be_predicted_and_not_learned_from(mvtec):
    data = AnomalyDataModule(Images(mvtec / "test/hole"), (32, 32))
    (batch,) = ready(data, "predict").predict_dataloader()
    assert len(batch.path) == 6
    with pytest.raises(ValueError, match="`predict` only"):
        data.setup("fit")


def test_a_cropped_defect_out_of_sight_leaves_a_label_without_mask(mvtec):
    mask = np.zeros((40, 48), np.uint8)
    mask[:, 0] = 1
    import cv2

    cv2.imwrite(str(mvtec / "ground_truth/hole/000_mask.png"), mask)
    data = AnomalyDataModule(MVTecAD(mvtec), (40, 40), loading=Loading(policy=CenterCrop()))
    (batch,) = ready(data, "test").test_dataloader()
    unseen = batch.path.index("test/hole/000.png")
    assert batch.label[unseen]
    assert not batch.mask[unseen].any()


REFUSALS = [
    (lambda: AnomalyDataModule(Textures(), (0, 64)), "`image_size`"),
    (lambda: AnomalyDataModule(Textures(), batch_size=0), "`batch_size`"),
    (lambda: AnomalyDataModule(Textures(), channels=2), "`channels` must be 1 or 3, got 2"),
    (lambda: AnomalyDataModule(Textures(), augmentation=Augmentation(crop=(65, 64))), "`crop` must fit"),
    (lambda: AnomalyDataModule(Textures(), (64, 32), augmentation=FLIPS), "`quarter_turns` must be off"),
    (lambda: Validation(share=0.0), r"`share` must lie in \(0, 1\), got 0.0"),
    (lambda: Validation(at_least=1), "`at_least`"),
    (lambda: Textures(crop=500), r"`crop` must lie in \[16, 168\], got 500"),
    (lambda: Folder("x", test_share=1.0), "`test_share`"),
    (lambda: MVTecAD(white_level=0), "`white_level`"),
    (
        lambda: Augmentation(transforms=[{"NoSuchThing": {}}])(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), 0),
        "NoSuchThing",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_a_refusal_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_real_sets_are_read_whole(real_data):
    for root, category, train, test in [
        ("mvtec_ad", "screw", 320, 160),
        ("magnetic_tile", "tile", 801, 272),
        ("bsdata", "ball_screw", 521, 228),
    ]:
        data = ready(AnomalyDataModule(MVTecAD(real_data / root, category), (64, 64)), "fit", "test")
        assert len(data._stores["train"]) + len(data._stores["validation"]) == train
        batches = list(data.test_dataloader())
        assert sum(len(batch.path) for batch in batches) == test
        assert all(torch.equal(batch.mask.flatten(1).any(1), batch.label) for batch in batches)


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
