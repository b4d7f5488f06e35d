import csv
import json

import pytest
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.depth_curve import DepthCurve
from anomaly_diffusion.callbacks.failure_analysis import FailureAnalysis
from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.engine.ema import EMA
from anomaly_diffusion.names import FIGURES

TEST = ToyImages(23, seed=2)  # an odd number, so that the sampler must repeat an image


def run(folder, checkpoint, **options):
    callbacks = RunCard(), EMA(), AnomalyMetrics(), ResidualMaps(count=2), DepthCurve(), FailureAnalysis()
    trainer(folder, *callbacks, **options).test(ToyDetector(), TEST.loader(), ckpt_path=checkpoint, verbose=False)
    rows = list(csv.DictReader((folder / "per_image.csv").read_text().splitlines()))
    return json.loads((folder / "summary.json").read_text()), sorted(row["path"] for row in rows)


@pytest.mark.slow
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
