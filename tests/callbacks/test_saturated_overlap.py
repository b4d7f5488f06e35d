"""sPRO stands beside the other figures of a run, measured at the size of the files."""

import json

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from toy_detector import SIDE, ToyDetector, ToyImages

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.callbacks.saturated_overlap import SaturatedOverlaps
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.layouts.loco import CONFIG, MVTecLOCO
from anomaly_diffusion.metrics.saturated import SaturatedOverlap


@pytest.fixture
def root(tmp_path):
    """The toy images as files of twice their size, with a saturation of a quarter."""
    images = ToyImages(20)
    for index in range(20):
        kind = "structural_anomalies" if images.label[index] else "good"
        pixels = ((images.image[index].permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).byte().numpy()
        path = tmp_path / f"box/test/{kind}/{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(pixels, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_NEAREST))
        if images.label[index]:
            mask = images.mask[index, 0].numpy().astype(np.uint8) * 255
            path = tmp_path / f"box/ground_truth/{kind}/{index:03}/000.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), cv2.resize(mask, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_NEAREST))
    entry = {"defect_name": "dent", "pixel_value": 255, "saturation_threshold": 0.25, "relative_saturation": True}
    (tmp_path / "box" / CONFIG).write_text(json.dumps([entry]))
    return tmp_path / "box"


def test_a_test_measures_spro_at_the_size_of_the_files(root, tmp_path):
    data, metrics = AnomalyDataModule(MVTecLOCO(root), (SIDE, SIDE), batch_size=6), AnomalyMetrics()
    trainer = pl.Trainer(
        callbacks=[RunCard(), metrics, SaturatedOverlaps()],
        default_root_dir=tmp_path / "run",
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    detector = ToyDetector()
    trainer.test(detector, data, verbose=False)
    expected = SaturatedOverlap()
    for batch in data.test_dataloader():
        maps = detector.judge(batch).anomaly_map
        for anomaly_map, size, name in zip(maps, batch.size.tolist(), batch.path, strict=True):
            regions = data.dataset.regions(name, tuple(size))
            expected.update(data.to_original(anomaly_map, tuple(size))[None], [regions])
    figures = expected.compute()
    assert 0 < figures.spro_05 < figures.spro < 1
    assert float(trainer.callback_metrics["test/spro_05"]) == pytest.approx(figures.spro_05)
    written = json.loads((tmp_path / "run/summary.json").read_text())
    assert (written["spro"], written["spro_05"]) == pytest.approx(tuple(figures))
    assert metrics.shared.figures["test"]["model"]["spro"] == figures.spro


def test_other_data_sets_know_nothing_of_it(tmp_path):
    callback = SaturatedOverlaps()
    trainer = pl.Trainer(
        callbacks=[AnomalyMetrics(), callback],
        default_root_dir=tmp_path,
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.test(ToyDetector(), ToyImages(10).loader(), verbose=False)
    assert "test/spro" not in trainer.callback_metrics
    assert torch.isfinite(trainer.callback_metrics["test/aupro"])
