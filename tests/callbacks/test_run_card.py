import csv
import json
import time

import pytest
import pytorch_lightning as pl
import torch
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.files import names_hash
from anomaly_diffusion.names import FIGURES

TRAIN, VALIDATION, TEST = ToyImages(30, normal_only=True), ToyImages(12, seed=1), ToyImages(24, seed=2)


def summary(folder):
    return json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)


def run_all(folder, *callbacks, detector=None, card=None):
    detector, metrics = detector or ToyDetector(), AnomalyMetrics()
    run = trainer(folder, card or RunCard(), metrics, *callbacks)
    run.fit(detector, TRAIN.loader(), VALIDATION.loader())
    run.test(detector, TEST.loader(), verbose=False)
    return run, detector, metrics


class Slow(ToyDetector):
    """Needs ten milliseconds a batch."""

    def test_step(self, batch, batch_idx):
        time.sleep(0.01)
        return self.judge(batch)


class SlowPainter(pl.Callback):
    """Needs long for what is no part of the verdict."""

    def on_test_batch_end(self, *_):
        time.sleep(0.1)

    def on_validation_end(self, *_):
        time.sleep(0.2)


def test_the_summary_holds_the_figures_that_were_measured(tmp_path):
    _, _, metrics = run_all(tmp_path)
    written = summary(tmp_path)
    assert {name: written[name] for name in FIGURES} == pytest.approx(metrics.shared.figures["test"]["model"])
    assert written["validation"]["pixel_ap"] == pytest.approx(metrics.shared.figures["val"]["model"]["pixel_ap"])
    controls = {name: figures for name, figures in metrics.shared.figures["test"].items() if name != "model"}
    assert {name: pytest.approx(figures) for name, figures in controls.items()} == written["controls"]


def test_before_any_test_the_test_figures_are_null_and_validation_is_there(tmp_path):
    trainer(tmp_path, RunCard(), AnomalyMetrics()).fit(ToyDetector(), TRAIN.loader(), VALIDATION.loader())
    written = summary(tmp_path)
    assert [written[name] for name in FIGURES] == [None] * len(FIGURES)
    assert 0 < written["validation"]["image_auroc"] <= 1


def test_the_test_set_is_named_by_its_images_and_by_nothing_before_a_test(tmp_path):
    run_all(tmp_path)
    assert summary(tmp_path)["test_set"] == names_hash(map(TEST.path, range(24)))
    trainer(tmp_path / "fit", RunCard()).fit(ToyDetector(), TRAIN.loader(), VALIDATION.loader())
    assert summary(tmp_path / "fit")["test_set"] is None


def test_costs_are_what_was_spent(tmp_path, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    run_all(tmp_path)
    written = summary(tmp_path)
    assert (written["parameters"], written["nfe"], written["seed"]) == (1, 2, 7)
    assert 50 < written["peak_memory_mb"] < 100_000
    assert 0 < written["train_seconds"] < written["fit_seconds"]


def test_seconds_per_image_leave_out_other_callbacks_and_training_leaves_out_validation(tmp_path):
    run_all(tmp_path, SlowPainter(), detector=Slow())
    written = summary(tmp_path)
    assert 0.01 / 5 <= written["seconds_per_image"] < 0.08 / 5
    assert written["fit_seconds"] - written["train_seconds"] >= 2 * 0.2


def test_per_image_rows_agree_with_the_predictions(tmp_path):
    _, detector, _ = run_all(tmp_path)
    verdict = detector.judge(TEST.batch(list(range(24))))
    rows = list(csv.DictReader((tmp_path / "per_image.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [TEST.path(index) for index in range(24)]
    assert [row["kind"] for row in rows[:4]] == ["good", "scratch", "good", "big dent"]
    for index, row in enumerate(rows):
        values = verdict.anomaly_map[index]
        assert float(row["score"]) == pytest.approx(verdict.score[index].item(), rel=1e-5)
        assert int(row["label"]) == int(TEST.label[index])
        assert float(row["map_mean"]) == pytest.approx(values.mean().item(), rel=1e-5)
        assert float(row["map_p99"]) == pytest.approx(values.quantile(0.99).item(), rel=1e-5)


def test_the_table_the_run_folder_and_the_pictures_are_printed_last(tmp_path, capsys):
    run_all(tmp_path, ResidualMaps(count=1))
    printed = capsys.readouterr().out
    assert "best control" in printed
    assert printed.strip().splitlines()[-2:] == [
        f"run folder: {tmp_path}",
        f"pictures:   {tmp_path}/panels/test.png",
    ]


def test_testing_the_best_checkpoint_keeps_the_time_of_the_whole_training(tmp_path):
    card = RunCard()
    run, detector, _ = run_all(tmp_path, card=card)
    run.save_checkpoint(tmp_path / "run.ckpt")
    whole = summary(tmp_path)["fit_seconds"]
    run.test(detector, TEST.loader(), ckpt_path=tmp_path / "run.ckpt", verbose=False)
    assert summary(tmp_path)["fit_seconds"] == whole


def test_a_test_elsewhere_knows_what_training_cost(tmp_path):
    run, _, _ = run_all(tmp_path / "fit")
    run.save_checkpoint(tmp_path / "run.ckpt")
    fresh = trainer(tmp_path / "test", RunCard(), AnomalyMetrics())
    fresh.test(ToyDetector(), TEST.loader(), ckpt_path=tmp_path / "run.ckpt", verbose=False)
    there, here = summary(tmp_path / "fit"), summary(tmp_path / "test")
    for name in ("fit_seconds", "train_seconds", "pixel_ap", "validation"):
        assert here[name] == there[name], name


def test_the_course_of_training_is_drawn(tmp_path):
    run_all(tmp_path)
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_off_test_writes_no_summary_of_it(tmp_path):
    class Broken(ToyDetector):
        def test_step(self, batch, batch_idx):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        trainer(tmp_path, RunCard(), AnomalyMetrics()).test(Broken(), TEST.loader(), verbose=False)
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize("earlier", [AnomalyMetrics, ResidualMaps])
def test_an_order_that_would_time_other_callbacks_is_refused(tmp_path, earlier):
    with pytest.raises(ValueError, match=f"`RunCard` must stand before `{earlier.__name__}`"):
        trainer(tmp_path, earlier(), RunCard()).test(ToyDetector(), TEST.loader(), verbose=False)


def test_predict_lists_its_images_and_writes_no_summary(tmp_path):
    run = trainer(tmp_path, RunCard())
    run.predict(ToyDetector(), TEST.loader(), return_predictions=False)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert {(row["label"], row["kind"]) for row in rows} == {("", "")}  # nobody said what they show
    assert not (tmp_path / "summary.json").exists()


def test_checkpoints_of_the_callbacks_open_without_running_code(tmp_path):
    run, _, _ = run_all(tmp_path)
    run.save_checkpoint(tmp_path / "run.ckpt")
    assert "RunCard" in torch.load(tmp_path / "run.ckpt", weights_only=True)["callbacks"]
