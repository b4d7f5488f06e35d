"""MVTec LOCO AD as its makers lay it out: one mask a region, and how much of each must be found."""

import json

import cv2
import numpy as np
import pytest
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.examination import examine, layout_of
from anomaly_diffusion.data.layouts.loco import CONFIG, MVTecLOCO
from anomaly_diffusion.data.reading.photographs import BadImages

KINDS = [
    {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 30, "relative_saturation": False},
    {"defect_name": "broken", "pixel_value": 254, "saturation_threshold": 0.25, "relative_saturation": True},
]


def mark(path, value, *slices):
    mask = np.zeros((40, 48), np.uint8)
    for part in slices:
        mask[part] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)


@pytest.fixture
def box(tmp_path):
    root = tmp_path / "box"
    for use, count in (("train", 12), ("validation", 6), ("test", 3)):
        for number in range(count):
            write(root / f"{use}/good/{number:03}.png", hash((use, number)) % 2**32)
    for kind in ("logical_anomalies", "structural_anomalies"):
        for number in range(2):
            write(root / f"test/{kind}/{number:03}.png", hash((kind, number)) % 2**32)
    truth = root / "ground_truth"
    mark(truth / "logical_anomalies/000/000.png", 255, np.s_[:10, :10])
    mark(truth / "logical_anomalies/001/000.png", 255, np.s_[:4, :5])
    mark(truth / "structural_anomalies/000/000.png", 254, np.s_[:8, :5], np.s_[20:28, 20:25])
    mark(truth / "structural_anomalies/000/001.png", 255, np.s_[30:40, 40:48])
    mark(truth / "structural_anomalies/001/000.png", 254, np.s_[3:4, 3:7])
    (root / CONFIG).write_text(json.dumps(KINDS))
    return root


def test_each_use_has_its_photographs(box):
    dataset = MVTecLOCO(box.parent, "box")
    uses = dataset.train_samples(), dataset.validation_samples(), dataset.test_samples()
    assert [len(samples) for samples in uses] == [12, 6, 7]
    assert [sample.kind for sample in uses[2]] == ["good"] * 3 + ["logical_anomalies"] * 2 + [
        "structural_anomalies"
    ] * 2
    assert [sample.label for sample in uses[2]] == [False] * 3 + [True] * 4
    assert [dataset.read(sample)[1].sum() for sample in uses[2]] == [0, 0, 0, 100, 20, 160, 4]


def test_each_region_has_its_saturation(box):
    dataset = MVTecLOCO(box)
    names = [dataset.name(sample) for sample in dataset.test_samples()]
    found = [[(region.mask.sum(), region.saturation) for region in dataset.regions(name, (40, 48))] for name in names]
    assert found == [[], [], [], [(100, 30.0)], [(20, 20.0)], [(80, 20.0), (80, 30.0)], [(4, 1.0)]]


def test_the_data_module_and_the_doctor_know_it(box):
    data = AnomalyDataModule(MVTecLOCO(box), (40, 48), channels=3)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch.mask.flatten(1).sum(1).tolist() == [0, 0, 0, 100, 20, 160, 4]
    assert isinstance(layout_of(box), MVTecLOCO)
    health = examine(layout_of(box))
    assert not health.problems
    assert (len(health.train), len(health.test)) == (18, 7)
    with pytest.raises(FileNotFoundError, match="must be one of: box"):
        layout_of(box.parent).train_samples()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda box: (box / "ground_truth/logical_anomalies/001/000.png").unlink(), "has no mask in"),
        (
            lambda box: mark(box / "ground_truth/logical_anomalies/001/000.png", 7, np.s_[:4]),
            "value 7, but .* 254, 255",
        ),
        (lambda box: mark(box / "ground_truth/logical_anomalies/001/000.png", 0), "one value besides 0.* got none"),
        (lambda box: write(box / "test/logical_anomalies/001.png", 1, (20, 20, 3)), "size of its photograph"),
    ],
)
def test_masks_that_cannot_be_used_are_named_before_anything_is_trained(box, spoil, told):
    spoil(box)
    with pytest.raises(BadImages, match=told):
        AnomalyDataModule(MVTecLOCO(box), (40, 48)).setup("test")


@pytest.mark.parametrize(
    ("text", "told"),
    [(None, "is missing: it says how much"), ("[{}]", "a list of entries with pixel_value"), ("{", "Expecting")],
)
def test_a_configuration_that_cannot_be_read_is_named(box, text, told):
    (box / CONFIG).unlink() if text is None else (box / CONFIG).write_text(text)
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        MVTecLOCO(box).regions("test/logical_anomalies/000.png", (40, 48))
