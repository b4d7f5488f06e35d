"""The data module: who is shown what, when files are opened, and what is refused."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from trees import ready, write, write_mask

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.framing import CenterCrop, Letterbox
from anomaly_diffusion.data.layouts.folder import Folder
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.data.split import Split, Validation
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
    """The images of each path, painted ones under their path and a word, in the order in which they came."""
    images = {}
    for batch in batches:
        for path, painted, image in zip(batch.path, batch.label.tolist(), batch.image, strict=True):
            images.setdefault(path + " painted" * painted, []).append(image)
    return images


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(torch.stack(first[path]), torch.stack(second[path])) for path in first
    )


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


def test_more_paintings_are_other_defects_on_the_same_photographs(mvtec):
    def validated(paintings):
        data = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32), validation=Validation(paintings=paintings)), "fit")
        return [
            (path, mask)
            for batch in data.val_dataloader()
            for path, mask, label in zip(batch.path, batch.mask, batch.label, strict=True)
            if label
        ]

    once, thrice = validated(1), validated(3)
    assert len(thrice) == 3 * len(once)
    assert {path for path, _ in thrice} == {path for path, _ in once}
    masks = {path: [mask for other, mask in thrice if other == path] for path, _ in once}
    assert all(torch.equal(mask, masks[path][0]) for path, mask in once)
    assert any(not torch.equal(first, second) for first, second, _ in masks.values())
    with pytest.raises(ValueError, match="`paintings` must be at least 1, got 0"):
        Validation(paintings=0)


@pytest.mark.parametrize("layout", ["mvtec", "folder"])
def test_training_never_opens_a_test_file(mvtec, tmp_path, opened, layout):
    dataset = MVTecAD(mvtec)
    if layout == "folder":
        dataset = Folder(mvtec, "train/good", defects=["test/hole"], masks="ground_truth", test_normal="test/good")
    watched(AnomalyDataModule(dataset, (32, 32)), tmp_path / "run")
    assert opened
    assert not [path for path in opened if "test" in path.parts or "ground_truth" in path.parts]


def test_bad_test_files_are_told_with_bad_training_files_where_a_test_is_expected(mvtec, opened):
    bad = [mvtec / "train/good/003.png", mvtec / "test/hole/001.png", mvtec / "ground_truth/hole/002_mask.png"]
    for path in bad:
        path.write_bytes(b"")
    data = AnomalyDataModule(MVTecAD(mvtec), (32, 32), loading=Loading(cache_mb=1))
    data.expects_test = True
    with pytest.raises(BadImages) as error:
        data.setup("fit")
    assert sorted(error.value.problems) == sorted(map(str, bad))


def test_where_a_test_is_expected_its_files_are_opened_once_and_nothing_of_them_is_kept(mvtec, opened):
    data = AnomalyDataModule(MVTecAD(mvtec), (32, 32))
    data.expects_test = True
    data.setup("fit")
    of_test = [path for path in opened if path.suffix == ".png" and "test" in path.parts]
    assert set(of_test) == set(mvtec.glob("test/*/*.png"))
    assert "test" not in data._stores
    opened.clear()
    unchecked = AnomalyDataModule(MVTecAD(mvtec), (32, 32), loading=Loading(check=False))
    unchecked.expects_test = True
    unchecked.setup("fit")
    assert not [path for path in opened if "test" in path.parts]


def test_testing_never_opens_a_training_file(mvtec, tmp_path, opened):
    trainer(tmp_path / "run").test(Watcher(), datamodule=AnomalyDataModule(MVTecAD(mvtec), (32, 32)), verbose=False)
    assert opened
    assert not [path for path in opened if "train" in path.parts]


def test_a_mask_at_the_size_of_its_file_opens_the_mask_and_no_photograph(mvtec, opened):
    data = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), "test")
    opened.clear()
    assert data.test_mask("test/hole/001.png", (40, 48)).sum() == 10 * 20
    assert {path.relative_to(mvtec).as_posix() for path in opened} == {"ground_truth/hole/001_mask.png"}


def test_the_split_is_written_and_used_again(mvtec, tmp_path):
    watched(AnomalyDataModule(MVTecAD(mvtec), (32, 32)), tmp_path / "run", 1)
    written = json.loads((tmp_path / "run/split.json").read_text())
    assert set(written) == {"train", "validation_normal", "validation_painted", "test", "folds"}
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


def test_who_is_held_out_does_not_depend_on_where_the_data_lie(mvtec, tmp_path):
    shutil.copytree(mvtec, tmp_path / "elsewhere")
    assert Split.of(MVTecAD(mvtec), Validation()) == Split.of(MVTecAD(tmp_path / "elsewhere"), Validation())


def test_masks_stay_two_valued_and_labels_follow_the_file(mvtec):
    data = ready(AnomalyDataModule(MVTecAD(mvtec), (24, 20), loading=Loading(policy=Letterbox())), "test")
    for batch in data.test_dataloader():
        assert batch.mask.dtype == torch.bool
        assert batch.label.tolist() == ["hole" in path for path in batch.path]
        assert torch.equal(batch.mask.flatten(1).any(1), batch.label)
        assert not (batch.mask & ~batch.valid).any()
        assert (batch.size == torch.tensor([40, 48])).all()


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

    cv2.imwrite(str(tmp_path / "train/good/0.png"), np.tile(np.array([[[0]], [[255]]], np.uint8), (20, 48, 3)))
    data = ready(AnomalyDataModule(MVTecAD(tmp_path), (40, 48), validation=Validation(at_least=2)), "fit")
    images = by_path([*data.train_dataloader(), *data.val_dataloader()])
    assert images["train/good/0.png"][0].unique().tolist()[0] == -1
    assert images["train/good/0.png"][0].unique().tolist()[-1] == 1


def test_training_crops_are_parts_of_the_frame_and_evaluation_sees_all_of_it():
    data = AnomalyDataModule(
        Textures("brick", train=20, validation=2), (64, 64), channels=1, augmentation=Augmentation(crop=(24, 32))
    )
    data.setup("fit")
    plain = ready(AnomalyDataModule(Textures("brick", train=20, validation=2), (64, 64), channels=1), "fit")
    whole = by_path(plain.train_dataloader())
    for path, (crop,) in by_path(data.train_dataloader()).items():
        assert crop.shape == (1, 24, 32)
        windows = whole[path][0].unfold(1, 24, 1).unfold(2, 32, 1)
        assert (windows == crop[:, None, None]).flatten(3).all(-1).any()
    assert next(iter(data.val_dataloader())).image.shape[-2:] == (64, 64)


def test_what_learns_by_position_is_given_whole_frames_where_training_crops():
    def of(augmentation):
        return ready(AnomalyDataModule(Textures("brick", train=20, validation=2), (64, 64), 4, 1, augmentation), "fit")

    turned = Augmentation(transforms=[{"Transpose": {"p": 1.0}}])
    plain, cropped = of(turned), of(replace(turned, crop=(24, 24), scales=[1.0, 0.5]))
    whole = by_path(plain.train_dataloader())
    assert same(by_path(cropped.whole_dataloader()), whole)
    for batch in cropped.train_dataloader():
        assert all(torch.equal(image, whole[path][0]) for path, (image,) in by_path([cropped.whole(batch, 3)]).items())
        assert cropped.whole(batch, 3).path == batch.path
    flipped = of(Augmentation(horizontal_flip=True))
    assert same(by_path(flipped.whole_dataloader()), by_path(flipped.train_dataloader()))


def test_a_batch_of_parts_has_one_scale_and_tells_their_places():
    augmentation = Augmentation(horizontal_flip=True, crop=(24, 32), scales=[1.0, 0.25])
    data = ready(AnomalyDataModule(Textures("brick", train=40, validation=2), (64, 64), 4, 1, augmentation), "fit")
    shapes = set()
    for batch in data.train_dataloader():
        shapes.add(tuple(batch.image.shape[-2:]))
        assert batch.place.shape == (4, 4)
        extent = (batch.place[:, 2:] - batch.place[:, :2]).unique(dim=0)  # of all the same
        side = 64 if batch.image.shape[-1] == 32 else 16
        torch.testing.assert_close(extent, torch.tensor([[2 * size / side for size in batch.image.shape[-2:]]]))
    assert shapes == {(24, 32), (16, 16)}
    assert next(iter(data.val_dataloader())).place is None
    again = [batch.image for batch in data.train_dataloader()]
    assert all(torch.equal(*pair) for pair in zip(again, (b.image for b in data.train_dataloader()), strict=True))


@pytest.mark.parametrize(
    ("files", "contents", "told"),
    [
        (12, 1, r"It holds 0 to learn from and 12 \(1 without copies\) for testing"),
        (12, 4, r"learn from and \d+ \(1 without copies\) for testing"),
        (1, 1, "It holds 0 to learn from and 1 for testing"),
        (3, 3, "It holds 2 to learn from and 1 for testing"),
        (4, 4, "It holds 3 to learn from and 1 for testing"),
    ],
)
def test_too_few_different_photographs_are_counted_in_one_message(tmp_path, files, contents, told):
    for number in range(files):
        write(tmp_path / f"good/{number}.png", number % contents)
    write(tmp_path / "scratch/0.png", 100)
    with pytest.raises(ValueError, match=told) as refusal:
        AnomalyDataModule(Folder(tmp_path), (32, 32)).setup("fit")
    assert f"{tmp_path} must hold at least 4 different good photographs beside those for testing" in str(refusal.value)


@pytest.mark.parametrize("seed", range(8))
def test_many_copies_leave_something_to_learn_from_and_two_photographs_to_validate_on(tmp_path, seed):
    for number in range(20):
        write(tmp_path / f"good/{number:02}.png", max(0, number - 15))  # sixteen alike, and four others
    dataset = Folder(tmp_path)
    split = Split.of(dataset, Validation(seed=seed))
    content = {dataset.name(sample): sample.path.read_bytes() for sample in dataset.train_samples()}
    different = [{content[name] for name in names} for names in (split.train, split.validation_normal)]
    painted = {content[name] for name in split.validation_painted}
    assert len(different[0]) >= 2
    assert len(different[1] | painted) >= 2
    assert not different[0] & (different[1] | painted)
    assert split.test


def test_valid_pixels_move_with_the_image(mvtec):
    flips = Augmentation(transforms=[{"Transpose": {"p": 1.0}}])
    data = AnomalyDataModule(MVTecAD(mvtec), (32, 32), augmentation=flips, loading=Loading(policy=Letterbox()))
    batch = next(iter(ready(data, "fit").train_dataloader()))
    assert (batch.valid[:, :, :, 3:29]).all()
    assert not batch.valid[:, :, :, :2].any()


def test_a_cache_over_its_limit_is_not_built(mvtec):
    full = ready(AnomalyDataModule(MVTecAD(mvtec), (32, 32), loading=Loading(cache_mb=1)), "fit")
    photographs = 40 + 16  # of which the held-out ones are kept plain and painted
    assert sum(store.bytes for store in full._stores.values()) == photographs * 32 * 32 * 5
    none = ready(AnomalyDataModule(MVTecAD(mvtec), (128, 128), loading=Loading(cache_mb=1)), "fit")
    assert sum(store.bytes for store in none._stores.values()) <= 1_000_000


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


def test_a_cropped_defect_out_of_sight_leaves_a_label_without_mask(mvtec):
    mask = np.zeros((40, 48), np.uint8)
    mask[:, 0] = 1

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
        assert len({name for use in ("train", "validation") for name in data._stores[use].names}) == train
        batches = list(data.test_dataloader())
        assert sum(len(batch.path) for batch in batches) == test
        assert all(torch.equal(batch.mask.flatten(1).any(1), batch.label) for batch in batches)
