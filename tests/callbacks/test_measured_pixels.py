"""Pixels are measured in frames or at the size of the files, and a run says which."""

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from toy_detector import SIDE, ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.measured_pixels import FilePixels
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.framing import CenterCrop, Letterbox, Resize
from anomaly_diffusion.data.layouts.mvtec import MVTecAD

SIZES = [(400, 400), (150, 200), (97, 331), (60, 60), (12, 9)]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def defects(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """One large defect and up to ten small ones, 4 x 6 pixels in a square of 1,000."""
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 10 : size[0] * 4 // 10, size[1] // 10 : size[1] * 4 // 10] = 255
    for _ in range(10):
        top, left = int(size[0] * generator.uniform(0.5, 0.95)), int(size[1] * generator.uniform(0, 0.95))
        mask[top : top + max(1, size[0] // 250), left : left + max(1, size[1] // 167)] = 255
    return mask


@pytest.fixture
def root(tmp_path):
    """Files of several sizes, good and defective ones, defects a little brighter; the last has no mask."""
    generator = np.random.default_rng(0)
    for index, size in enumerate(SIZES):
        for kind in ("good", "spots"):
            coarse = generator.uniform(80, 150, (9, 9, 3)).astype(np.float32)
            image = cv2.resize(coarse, size[::-1]) + generator.normal(0, 4, (*size, 3))
            mask = defects(size, generator) if kind == "spots" else np.zeros(size, np.uint8)
            image[mask > 0] += 40
            write(tmp_path / f"box/test/{kind}/{index:03}.png", image.clip(0, 255).astype(np.uint8))
            if kind == "spots":
                write(tmp_path / f"box/ground_truth/{kind}/{index:03}_mask.png", mask)
    return tmp_path / "box"


def measured(root, folder, size, policy=None, batch_size=3):
    data = AnomalyDataModule(MVTecAD(root), (SIDE, SIDE), batch_size, loading=Loading(policy or Resize()))
    metrics = AnomalyMetrics(size=size)
    trainer(folder, RunCard(), metrics).test(ToyDetector(), data, verbose=False)
    return data, metrics, json.loads((folder / "summary.json").read_text())


def official_aupro(scores: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    """AUPRO as in its definition: the mean overlap of regions at every threshold, over the false-positive rate."""
    weight = []
    for mask in masks:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        area = np.append(np.inf, np.bincount(labels.ravel(), minlength=count + 1)[1:])
        weight.append((1 / area)[labels].ravel())
    score, defective = (np.concatenate([part.ravel() for part in parts]) for parts in (scores, masks))
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    overlap = np.append(0, np.cumsum(np.concatenate(weight)[order])[last])
    rate = np.append(0, np.cumsum(~defective[order])[last])
    overlap, rate = overlap / overlap[-1], rate / rate[-1]
    inner = rate < limit
    x, y = np.append(rate[inner], limit), np.append(overlap[inner], np.interp(limit, rate, overlap))
    return float(np.trapezoid(y, x) / limit)


def at_file(anomaly_map, size, policy):
    """A map of a frame at the size of a file, by OpenCV; what a crop leaves out lies below everything."""
    placement = policy.place(size, (SIDE, SIDE))
    part = cv2.resize(anomaly_map[placement.target.slices], (placement.source.width, placement.source.height))
    whole = np.full(size, -1e9, np.float32)
    whole[placement.source.slices] = part
    return whole


@pytest.mark.parametrize("policy", [Resize(), Letterbox(), CenterCrop()], ids=lambda policy: type(policy).__name__)
def test_figures_of_files_equal_an_independent_reference(root, tmp_path, policy):
    data, metrics, written = measured(root, tmp_path / "run", "original", policy)
    scores, masks = [], []
    for batch in data.test_dataloader():
        for anomaly_map, name, (height, width) in zip(
            ToyDetector().judge(batch).anomaly_map, batch.path, batch.size.tolist(), strict=True
        ):
            truth = root / name.replace("test/", "ground_truth/").replace(".png", "_mask.png")
            there = truth.is_file()
            masks.append(cv2.imread(str(truth), 0) > 0 if there else np.zeros((height, width), bool))
            scores.append(at_file(anomaly_map[0].numpy(), (height, width), policy))
    label, score = (np.concatenate([part.ravel() for part in parts]) for parts in (masks, scores))
    figures = metrics.shared.figures["test"]["model"]
    assert figures["aupro"] == pytest.approx(official_aupro(scores, masks, 0.3), abs=1e-4)
    assert figures["aupro_05"] == pytest.approx(official_aupro(scores, masks, 0.05), abs=1e-4)
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(label, score), abs=1e-4)
    assert figures["pixel_ap"] == pytest.approx(average_precision_score(label, score), abs=1e-4)
    files = sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks)
    assert written["pixels"]["size"] == "original"
    assert (written["pixels"]["regions"]["files"], written["pixels"]["regions"]["whole"]) == (files, files)
    assert set(metrics.shared.figures["test"]) == {"model", "blurred_self", "brightness_raw"}


def test_a_run_says_what_its_frames_show_of_the_files_regions(root, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        written = measured(root, tmp_path / "run", "frame", CenterCrop())[2]
    regions = written["pixels"]["regions"]
    assert written["pixels"]["size"] == [SIDE, SIDE]
    assert regions["lost"] > 0
    assert regions["files"] == sum(regions[fate] for fate in ("whole", "merged", "split", "lost"))
    message = next(record.message for record in caplog.records if "defective regions" in record.message)
    assert f"show {regions['whole']} of the {regions['files']} defective regions" in message
    assert f"{regions['lost']} lost" in message
    assert "--metrics.size original" in message


def test_frames_that_keep_every_region_say_nothing(tmp_path, caplog):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 10:30] = 255
    write(tmp_path / "box/test/spots/000.png", mask)
    write(tmp_path / "box/ground_truth/spots/000_mask.png", mask)
    with caplog.at_level(logging.WARNING):
        written = measured(tmp_path / "box", tmp_path / "run", "frame")[2]
    assert written["pixels"]["regions"]["whole"] == 1
    assert "defective regions" not in caplog.text


def test_batches_do_not_matter_and_validation_stays_in_frames(root, tmp_path):
    first, second = (measured(root, tmp_path / str(size), "original", None, size)[1] for size in (2, 5))
    assert first.shared.figures["test"] == second.shared.figures["test"]
    run = trainer(tmp_path, first)
    run.fit(ToyDetector(), ToyImages(12, normal_only=True).loader(), ToyImages(8).loader())
    assert first.shared.pixels["val"] == {"size": [SIDE, SIDE], "regions": None}


def test_one_file_at_a_time_is_in_memory(root, tmp_path):
    data = measured(root, tmp_path / "run", "frame")[0]
    batch = next(iter(data.test_dataloader()))
    none, *parts = FilePixels(data).of(batch, {"model": torch.zeros(len(batch.path), 1, SIDE, SIDE)})
    assert not len(none.mask)
    assert [tuple(part.mask.shape) for part in parts] == [(1, 1, *size) for size in batch.size.tolist()]


def test_files_without_masks_count_as_images_only(root, tmp_path):
    """No pixel is known: the figures are NaN, which no warning need tell of."""
    for folder in ("ground_truth", "test/good"):
        shutil.rmtree(root / folder)
    _, metrics, written = measured(root, tmp_path / "run", "original")
    assert np.isnan(metrics.shared.figures["test"]["model"]["aupro"])
    assert written["pixels"]["regions"]["files"] == 0


def test_what_a_crop_does_not_show_ranks_below_everything(root, tmp_path):
    """A map may hold any numbers: a zero for what was not seen would be found before a normal -1."""
    data = measured(root, tmp_path / "run", "frame", CenterCrop())[0]
    batch = data.test_dataloader().dataset[2]  # 97 x 331, of which the middle 97 columns are seen
    low = {"model": torch.full((1, 1, SIDE, SIDE), -5.0)}
    _, part = FilePixels(data).of(batch, low)
    seen = part.maps["model"][0, 0] == -5
    assert seen[:, 117:214].all()
    assert seen.sum() == 97 * 97
    assert (part.maps["model"][0, 0][~seen] == -torch.inf).all()


def test_files_are_measured_with_a_data_module_only(tmp_path):
    with pytest.raises(ValueError, match=r"`--metrics\.size original` needs a data module that reads files"):
        trainer(tmp_path, AnomalyMetrics(size="original")).test(ToyDetector(), ToyImages(4).loader(), verbose=False)
    with pytest.raises(ValueError, match="`size` must be one of frame, original, got half"):
        AnomalyMetrics(size="half")
