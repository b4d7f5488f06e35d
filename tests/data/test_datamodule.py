import json
import shutil

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from trees import write, write_mask

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.folder import Folder, Images
from anomaly_diffusion.data.framing import CenterCrop, Letterbox
from anomaly_diffusion.data.mvtec import MVTecAD
from anomaly_diffusion.data.reading import BadImages
from anomaly_diffusion.data.split import Split, Validation
from anomaly_diffusion.data.store import Loading
from anomaly_diffusion.data.textures import Textures
from anomaly_diffusion.data.transforms import Augmentation

FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True, quarter_turns=True)


class Watcher(LightningModule):
    """Learns nothing, remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown, self.validated = [], []

    def training_step(self, batch, _):
        self.shown.append(batch)
        return self.weight * batch.image.mean()

    def validation_step(self, batch, _):
        self.validated.append(batch)

    def test_step(self, batch):
        self.shown.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def trainer(folder, epochs=2):
    return Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


def watched(data, folder, epochs=2):
    """What a training of some epochs is shown."""
    torch.manual_seed(5)
    watcher = Watcher()
    trainer(folder, epochs).fit(watcher, datamodule=data)
    return watcher


def by_path(batches):
    """The images of each path, in the order in which they came."""
    images = {}
    for batch in batches:
        for path, image in zip(batch.path, batch.image, strict=True):
            images.setdefault(path, []).append(image)
    return images


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(torch.stack(first[path]), torch.stack(second[path])) for path in first
    )


def ready(data, *stages):
    for stage in stages:
        data.setup(stage)
    return data


def test_workers_batches_and_cache_do_not_change_what_is_seen(mvtec, tmp_path):
    def seen(batch_size, **loading):
        data = AnomalyDataModule(
            MVTecAD(mvtec), (32, 32), batch_size=batch_size, augmentation=FLIPS, loading=Loading(**loading)
        )
        watcher = watched(data, tmp_path / "run")
        return by_path(watcher.shown), by_path(watcher.validated)

    reference = seen(16)
    for other in (seen(16), seen(5), seen(16, num_workers=2), seen(16, cache_mb=0)):
        assert same(reference[0], other[0])
        assert same(reference[1], other[1])


def test_augmentation_differs_between_epochs_and_validation_does_not(mvtec, tmp_path):
    watcher = watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32), augmentation=FLIPS), tmp_path)
    changed = [not torch.equal(*images) for images in by_path(watcher.shown).values()]
    assert any(changed)
    assert not all(changed), "one turn in sixteen is none"
    assert all(torch.equal(*images) for images in by_path(watcher.validated).values())


def test_training_shows_good_images_only_and_validation_half_painted_ones(mvtec):
    data = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), "fit")
    for batch in data.train_dataloader():
        assert not batch.label.any()
        assert not batch.mask.any()
    labels, painted = [], []
    for batch in data.val_dataloader():
        labels += batch.label.tolist()
        painted += batch.mask.flatten(1).any(1).tolist()
    assert labels == painted
    assert sum(labels) == len(labels) // 2


@pytest.mark.parametrize("layout", ["mvtec", "folder"])
def test_training_never_opens_a_test_file(mvtec, tmp_path, opened, layout):
    dataset = MVTecAD(mvtec)
    if layout == "folder":
        dataset = Folder(mvtec, "train/good", defects=["test/hole"], masks="ground_truth", test_normal="test/good")
    watched(AnomalyDataModule(dataset, (32, 32)), tmp_path / "run")
    assert opened
    assert not [path for path in opened if "test" in path.parts or "ground_truth" in path.parts]


def test_testing_never_opens_a_training_file(mvtec, tmp_path, opened):
    trainer(tmp_path / "run").test(Watcher(), datamodule=AnomalyDataModule(MVTecAD(mvtec), (32, 32)), verbose=False)
    assert opened
    assert not [path for path in opened if "train" in path.parts]


def test_the_split_is_written_and_used_again(mvtec, tmp_path):
    watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), tmp_path / "run", 1)
    written = json.loads((tmp_path / "run/split.json").read_text())
    assert set(written) == {"train", "validation_normal", "validation_painted", "test"}
    written["train"][0], written["validation_normal"][0] = written["validation_normal"][0], written["train"][0]
    (tmp_path / "run/split.json").write_text(json.dumps(written))
    watcher = watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), tmp_path / "run", 1)
    assert sorted(by_path(watcher.shown)) == sorted(written["train"])


def test_a_split_of_other_data_is_refused(mvtec, tmp_path):
    watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), tmp_path / "run", 1)
    write(mvtec / "train/good/new.png", 999)
    with pytest.raises(ValueError, match="0 photographs gone, 1 new; train/good/new"):
        watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), tmp_path / "run", 1)


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_a_split_are_disjoint_and_copies_stay_together(mvtec, seed):
    for number in range(0, 40, 2):
        shutil.copy(mvtec / f"train/good/{number:03}.png", mvtec / f"train/good/copy_{number:03}.png")
    split = Split.of(MVTecAD(mvtec), Validation(seed=seed))
    train, validation = set(split.train), {*split.validation_normal, *split.validation_painted}
    assert not train & validation
    assert not train & set(split.test)
    assert len(train | validation) == 60
    for number in range(0, 40, 2):
        pair = {f"train/good/{number:03}.png", f"train/good/copy_{number:03}.png"}
        assert pair <= train or pair <= validation


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


def test_who_is_held_out_does_not_depend_on_where_the_data_lie(mvtec, tmp_path):
    shutil.copytree(mvtec, tmp_path / "elsewhere")
    assert Split.of(MVTecAD(mvtec), Validation()) == Split.of(MVTecAD(tmp_path / "elsewhere"), Validation())


def test_every_bad_file_is_listed_at_once(mvtec):
    good = mvtec / "train/good"
    (good / "000.png").write_bytes(b"")
    (good / "001.png").write_bytes(b"no image at all")
    write(good / "002.png", 0, (40, 48))
    with pytest.raises(BadImages) as error:
        AnomalyDataModule(MVTecAD(mvtec), (32, 32)).setup("fit")
    message = str(error.value)
    assert "3 files are unusable" in message
    for name, problem in [("000.png", "0 bytes"), ("001.png", "corrupt"), ("002.png", "is grey, ")]:
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
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Expected train/good"):
        MVTecAD(tmp_path / "empty").train_samples()
    with pytest.raises(FileNotFoundError, match=r"No images in .*`normal`, `defects`"):
        Folder(tmp_path).train_samples()


def test_masks_stay_two_valued_and_labels_follow_the_file(mvtec):
    data = ready(AnomalyDataModule(MVTecAD(mvtec), (24, 20), loading=Loading(policy=Letterbox())), "test")
    for batch in data.test_dataloader():
        assert batch.mask.dtype == torch.bool
        assert batch.label.tolist() == ["hole" in path for path in batch.path]
        assert torch.equal(batch.mask.flatten(1).any(1), batch.label)
        assert not (batch.mask & ~batch.valid).any()
        assert (batch.size == torch.tensor([40, 48])).all()


def test_a_defective_image_without_a_mask_has_a_label_and_no_mask(mvtec):
    dataset = Folder(mvtec, "train/good", defects=["test/hole"], test_normal="test/good")
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


def test_keys_name_images_for_good(mvtec):
    batches = list(ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32), batch_size=7), "fit").train_dataloader())
    keys = {path: int(key) for batch in batches for path, key in zip(batch.path, batch.key, strict=True)}
    assert len(set(keys.values())) == len(keys)
    assert min(keys.values()) >= 0
    dataset = MVTecAD(mvtec)
    assert all(
        dataset.key(sample) == keys.get(dataset.name(sample), dataset.key(sample)) for sample in dataset.train_samples()
    )


def test_pixels_span_minus_one_to_one_exactly(tmp_path):
    for number in range(4):
        write(tmp_path / f"train/good/{number}.png", number)
        np.save(tmp_path / "ignored.npy", number)
    import cv2

    cv2.imwrite(str(tmp_path / "train/good/0.png"), np.tile(np.array([[[0]], [[255]]], np.uint8), (20, 48, 3)))
    data = ready(AnomalyDataModule(MVTecAD(tmp_path), (40, 48), validation=Validation(at_least=2)), "fit")
    images = by_path([*data.train_dataloader(), *data.val_dataloader()])
    assert images["train/good/0.png"][0].unique().tolist()[0] == -1
    assert images["train/good/0.png"][0].unique().tolist()[-1] == 1


def test_training_crops_are_parts_of_the_frame_and_evaluation_sees_all_of_it():
    data = AnomalyDataModule(
        Textures("brick", train=20), (64, 64), channels=1, augmentation=Augmentation(crop=(24, 32))
    )
    data.setup("fit")
    plain = ready(AnomalyDataModule(Textures("brick", train=20), (64, 64), channels=1), "fit")
    whole = by_path(plain.train_dataloader())
    for path, (crop,) in by_path(data.train_dataloader()).items():
        assert crop.shape == (1, 24, 32)
        windows = whole[path][0].unfold(1, 24, 1).unfold(2, 32, 1)
        assert (windows == crop[:, None, None]).flatten(3).all(-1).any()
    assert next(iter(data.val_dataloader())).image.shape[-2:] == (64, 64)


def test_valid_pixels_move_with_the_image(mvtec):
    flips = Augmentation(transforms=[{"Transpose": {"p": 1.0}}])
    data = AnomalyDataModule(MVTecAD(mvtec), (32, 32), augmentation=flips, loading=Loading(policy=Letterbox()))
    batch = next(iter(ready(data, "fit").train_dataloader()))
    assert (batch.valid[:, :, :, 3:29]).all()
    assert not batch.valid[:, :, :, :2].any()


def test_a_cache_over_its_limit_is_not_built(mvtec):
    full = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32), loading=Loading(cache_mb=1)), "fit")
    assert sum(store.bytes for store in full._stores.values()) == 40 * 32 * 32 * 5
    none = ready(AnomalyDataModule(MVTecAD(mvtec), (128, 128), loading=Loading(cache_mb=1)), "fit")
    assert sum(store.bytes for store in none._stores.values()) <= 1_000_000


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
    (lambda: Validation().count(3), "at least 4 good photographs"),
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
