"""Every judged image is consumed once, by one process or by several, and all callbacks share their figures."""

import csv
import json
from types import SimpleNamespace

import pytest
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.depth_curve import DepthCurve
from anomaly_diffusion.callbacks.failure_analysis import FailureAnalysis
from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
from anomaly_diffusion.callbacks.result_callback import ResultCallback
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.engine.ema import EMA
from anomaly_diffusion.names import FIGURES

TEST = ToyImages(23, seed=2)  # an odd number, so that the sampler must repeat an image


class Paths(ResultCallback):
    """Notes what it is given."""

    def __init__(self):
        super().__init__()
        self.paths = []

    def begin(self, trainer, pl_module):
        self.paths = []

    def consume(self, trainer, pl_module, prediction, batch):
        assert len(prediction.score) == len(batch.path)
        self.paths += batch.path


@pytest.mark.parametrize("world", [1, 2, 5])
def test_images_that_a_sampler_repeats_are_consumed_once(world):
    places, detector, seen = list(range(23)), ToyDetector(), []
    padded = places + places[: -len(places) % world]
    for rank in range(world):
        callback = Paths()
        process = SimpleNamespace(world_size=world, global_rank=rank, test_dataloaders=SimpleNamespace(dataset=TEST))
        for _ in range(2):  # a second pass begins anew
            callback.on_test_start(process, detector)
            mine = padded[rank::world]
            for start in range(0, len(mine), 4):
                batch = TEST.batch(mine[start : start + 4])
                callback.on_test_batch_end(process, detector, detector.judge(batch), batch, start // 4)
        seen += callback.paths
    assert sorted(seen) == sorted(map(TEST.path, places))


def test_only_those_that_ask_for_it_consume_validations_and_unknown_images(tmp_path):
    class Everything(Paths):
        consumes_validation = consumes_predict = True

    callbacks = Paths(), Everything()
    runner = trainer(tmp_path, *callbacks)
    runner.validate(ToyDetector(), TEST.loader(), verbose=False)
    assert [len(callback.paths) for callback in callbacks] == [0, 23]
    runner.predict(ToyDetector(), TEST.loader(), return_predictions=False)
    assert [len(callback.paths) for callback in callbacks] == [0, 23]
    runner.test(ToyDetector(), TEST.loader(), verbose=False)
    assert callbacks[0].paths == callbacks[1].paths == list(map(TEST.path, range(23)))


def test_callbacks_of_one_trainer_share_their_figures_and_those_of_another_do_not(tmp_path):
    first, second, other = Paths(), AnomalyMetrics(), Paths()
    trainer(tmp_path, first, second).test(ToyDetector(), TEST.loader(), verbose=False)
    trainer(tmp_path, other).test(ToyDetector(), TEST.loader(), verbose=False)
    assert first.shared is second.shared
    assert first.shared.order == ["Paths", "AnomalyMetrics"]
    assert "model" in first.shared.figures["test"]
    assert other.shared.figures == {}


def run(folder, checkpoint, **options):
    callbacks = RunCard(), EMA(), AnomalyMetrics(), ResidualMaps(count=2), DepthCurve(), FailureAnalysis()
    trainer(folder, *callbacks, **options).test(ToyDetector(), TEST.loader(), ckpt_path=checkpoint, verbose=False)
    rows = list(csv.DictReader((folder / "per_image.csv").read_text().splitlines()))
    return json.loads((folder / "summary.json").read_text()), sorted(row["path"] for row in rows)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Using `DistributedSampler`", "ignore:.*fork.*:DeprecationWarning")
def test_two_processes_give_the_figures_of_one(tmp_path):
    fitted = trainer(tmp_path, RunCard(), EMA(), AnomalyMetrics())
    fitted.fit(ToyDetector(), ToyImages(30, normal_only=True).loader(), ToyImages(12, seed=1).loader())
    fitted.save_checkpoint(tmp_path / "run.ckpt")
    one, paths = run(tmp_path / "one", tmp_path / "run.ckpt")
    two, paths_of_two = run(tmp_path / "two", tmp_path / "run.ckpt", strategy="ddp_fork", devices=2)
    assert paths == paths_of_two == sorted(map(TEST.path, range(23)))
    assert {name: two[name] for name in FIGURES} == pytest.approx({name: one[name] for name in FIGURES}, abs=1e-6)
    for name, figures in one["controls"].items():
        assert two["controls"][name] == pytest.approx(figures, abs=1e-6), name
    curves = [(tmp_path / name / "depths.csv").read_text().splitlines() for name in ("one", "two")]
    for line, line_of_two in zip(*curves, strict=True):
        if not line.startswith("depth"):
            values = [list(map(float, row.split(","))) for row in (line, line_of_two)]
            assert values[1] == pytest.approx(values[0], abs=1e-5)
    failed = [json.loads((tmp_path / name / "failures.json").read_text()) for name in ("one", "two")]
    worst = [{name: [case["path"] for case in kept] for name, kept in report["worst"].items()} for report in failed]
    assert worst[0]["false_alarm"] == worst[1]["false_alarm"]
    assert failed[0]["spectra"]["normal_images"] == failed[1]["spectra"]["normal_images"] == 12
    for name, power in failed[0]["spectra"]["power"].items():
        assert failed[1]["spectra"]["power"][name] == pytest.approx(power, rel=1e-4, abs=1e-9)
