"""Laws of all layouts. A new layout is tested by adding it to `LAYOUTS`."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from trees import write, write_mask

from anomaly_diffusion.data.examination import examine, layout_classes, layout_of
from anomaly_diffusion.data.layouts.folder import Folder, Images
from anomaly_diffusion.data.layouts.loco import CONFIG, MVTecLOCO
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.tabular import Tabular
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.reading import photographs
from anomaly_diffusion.data.reading.notes import tell
from anomaly_diffusion.data.sample import AnomalyDataset


@dataclass(frozen=True)
class Layout:
    """A data set of 12 good photographs to learn from and 3 defective ones, as files, or as a class makes it.

    Attributes:
        read: makes the data set of the folder that holds the files.
        train: folder of good photographs to learn from; None: no files are written.
        defects: folder of one kind of defect, called as that kind.
        masks: where the mask of the photograph called {} lies; None: nowhere.
        test: folder of 3 good photographs to test on; None: some of `train` are kept.
        extra: what else belongs to the layout, by name.
    """

    read: Callable[[Path], AnomalyDataset]
    train: str | None = None
    defects: str = ""
    masks: str | None = None
    test: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> AnomalyDataset:
        counts = {self.train: 12, self.defects: 3, self.test: 3} if self.train else {}
        for seed, (folder, count) in enumerate(counts.items()):
            for number in range(count if folder else 0):
                write(root / f"{folder}/{number:03}.png", 100 * seed + number)
        for number in range(3 if self.masks else 0):
            write_mask(root / self.masks.format(f"{number:03}"))
        for name, text in self.extra.items():
            (root / name).write_text(text)
        return self.read(root)


ONE_KIND = {"pixel_value": 255, "saturation_threshold": 30, "relative_saturation": False}
REGIONS = {CONFIG: json.dumps([ONE_KIND])}
LIST = "\n".join(
    ["path,label,split,mask,kind"]
    + [f"photographs/good/{number:03}.png,good,train,," for number in range(12)]
    + [f"photographs/test/{number:03}.png,good,test,," for number in range(3)]
    + [f"photographs/bent/{number:03}.png,defective,test,masks/{number:03}.png,scratch" for number in range(3)]
)
LAYOUTS = [
    Layout(Folder, "good", "scratch", "masks/scratch/{}.png"),
    Layout(MVTecAD, "train/good", "test/scratch", "ground_truth/scratch/{}_mask.png", "test/good"),
    Layout(MVTecLOCO, "train/good", "test/scratch", "ground_truth/scratch/{}/000.png", "test/good", REGIONS),
    Layout(Tabular, "photographs/good", "photographs/bent", "masks/{}.png", "photographs/test", {"samples.csv": LIST}),
    Layout(Images, "monday", "tuesday"),
    Layout(lambda root: Textures(train=12, test=6, validation=4)),
]
FILES = [layout for layout in LAYOUTS if layout.train]
SETS = [layout for layout in FILES if layout.read is not Images]


def each(layouts):
    return pytest.mark.parametrize("layout", layouts, ids=lambda layout: getattr(layout.read, "__name__", ""))


def learnt(dataset):
    """Samples to learn from; Images has none."""
    return [] if isinstance(dataset, Images) else [*dataset.train_samples(), *dataset.validation_samples()]


def listed(dataset):
    return [dataset.name(sample) for sample in (*learnt(dataset), *dataset.test_samples())]


def test_every_layout_is_in_the_list(tmp_path):
    ours = {cls for cls in layout_classes() if cls.__module__.startswith("anomaly_diffusion.data.layouts")}
    assert {type(layout.read(tmp_path)) for layout in LAYOUTS} == ours


@each(LAYOUTS)
def test_every_sample_is_read_and_its_image_or_mask_alone_is_the_same(layout, tmp_path, monkeypatch):
    dataset = layout.write(tmp_path)
    samples = [*learnt(dataset), *dataset.test_samples()]
    read = [dataset.read(sample) for sample in samples]
    assert all(np.array_equal(dataset.read_image(one), pixels) for one, (pixels, _) in zip(samples, read, strict=True))
    if layout.train:
        decode = photographs._decode
        masks = lambda path: pytest.fail(f"{path} is read again") if path in opened else decode(path)  # noqa: E731
        opened = {sample.path for sample in samples}
        monkeypatch.setattr(photographs, "_decode", masks)
    for sample, (pixels, mask) in zip(samples, read, strict=True):
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] in (1, 3)
        assert mask.shape == pixels.shape[:2]
        assert np.array_equal(dataset.read_mask(sample, mask.shape), mask)


@each(LAYOUTS)
def test_names_are_unique_relative_and_the_same_wherever_the_data_lie(layout, tmp_path):
    names = listed(layout.write(tmp_path / "here"))
    assert len(set(names)) == len(names) > 0
    assert not any(Path(name).is_absolute() or ".." in Path(name).parts for name in names)
    assert listed(layout.write(tmp_path / "there")) == names


@each(LAYOUTS)
def test_labels_kinds_and_masks_agree(layout, tmp_path):
    dataset = layout.write(tmp_path)
    assert not any(sample.label or sample.mask for sample in learnt(dataset))
    for sample in dataset.test_samples():
        assert sample.kind == "unknown" if isinstance(dataset, Images) else (sample.kind != "good") == sample.label
        assert sample.label or sample.mask is None
        assert dataset.read(sample)[1].any() == sample.label


@each(SETS)
def test_all_photographs_are_there_with_their_kind(layout, tmp_path):
    dataset = layout.write(tmp_path)
    test = dataset.test_samples()
    assert {sample.kind for sample in test} == {"good", "scratch"}
    assert sum(sample.label for sample in test) == 3
    assert len(listed(dataset)) == 12 + 3 + (3 if layout.test else 0)


@each(LAYOUTS)
def test_no_photograph_to_learn_from_is_tested_on(layout, tmp_path):
    dataset = layout.write(tmp_path)
    assert not {sample.path for sample in learnt(dataset)} & {sample.path for sample in dataset.test_samples()}


@each(FILES)
def test_what_is_hidden_is_neither_listed_nor_told_of_and_what_is_left_out_is_told(layout, tmp_path):
    dataset = layout.write(tmp_path)
    before = listed(dataset)
    for folder in (layout.train, layout.defects):
        for hidden in (".cache/0.png", "._000.png", "__MACOSX/0.png"):
            png = write(tmp_path / "0.png", 1)
            (tmp_path / folder / hidden).parent.mkdir(exist_ok=True)
            png.rename(tmp_path / folder / hidden)
        (tmp_path / folder / "Thumbs.db").write_bytes(b"of Windows")
    again = layout.read(tmp_path)
    assert listed(again) == before
    assert {note.path.name for note in again.notes()} <= {"good", "masks", *layout.extra}
    (tmp_path / layout.train / "note.txt").write_text("taken on a Monday")
    (tmp_path / layout.train / "phone.heic").write_bytes(b"of a phone")
    assert {"note.txt", "phone.heic"} <= {note.path.name for note in layout.read(tmp_path).notes()}
    assert listed(layout.read(tmp_path)) == before


@each([layout for layout in FILES if layout.read is not Tabular])
def test_sub_folders_are_read(layout, tmp_path):
    layout.write(tmp_path)
    before = set(listed(layout.read(tmp_path)))
    write(tmp_path / layout.train / "monday/camera 1/000.png", 999)
    assert set(listed(layout.read(tmp_path))) > before


@each(SETS)
def test_the_doctor_recognises_it_and_finds_it_sound(layout, tmp_path):
    layout.write(tmp_path)
    assert type(layout_of(tmp_path)) is layout.read
    health = examine(layout_of(tmp_path))
    assert not health.problems
    assert len(health.train) + len(health.test) == len(listed(layout.read(tmp_path)))


@each([layout for layout in SETS if layout.masks])
def test_bad_photographs_and_masks_are_named_together(layout, tmp_path):
    layout.write(tmp_path)
    (tmp_path / layout.train / "000.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / layout.masks.format("001")), np.zeros((40, 48), np.uint8))
    bad = {str(tmp_path / layout.train / "000.png"), str(tmp_path / layout.masks.format("001"))}
    assert set(examine(layout.read(tmp_path)).problems) == bad


@each(FILES)
def test_a_data_set_elsewhere_is_the_same_data_set(layout, tmp_path, elsewhere):
    here = layout.write(tmp_path / "here")
    there = layout.read(elsewhere(tmp_path / "here"))
    assert str(there.folder) == "memory://elsewhere"
    assert listed(there) == listed(here)
    samples = [[*learnt(dataset), *dataset.test_samples()] for dataset in (here, there)]
    for one, other in zip(*samples, strict=True):
        assert (one.label, one.kind, one.category) == (other.label, other.kind, other.category)
        assert here.key(one) == there.key(other)
        assert all(map(np.array_equal, here.read(one), there.read(other)))
    told = [[one.text for one in tell(dataset.notes())] for dataset in (here, there)]
    assert told[1] == [text.replace(str(here.folder), str(there.folder)) for text in told[0]]
