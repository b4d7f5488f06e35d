import numpy as np
import pytest
from toy_detector import Limit, ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks import weights_and_biases
from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.callbacks.verdicts import Verdicts
from anomaly_diffusion.runs.image_results import COLUMNS

TEST = ToyImages(24, seed=2)


class Run:
    """Stands where a run of Weights & Biases would."""

    def __init__(self):
        self.logged, self.summary = {}, {}

    def log(self, content):
        assert "trainer/global_step" in content
        self.logged |= content


@pytest.fixture
def run(monkeypatch, tmp_path):
    run = Run()
    monkeypatch.setattr(weights_and_biases, "runs", lambda trainer: [run])
    callbacks = RunCard(), Verdicts(), Limit(3.0), AnomalyMetrics(), ResidualMaps(count=4)
    trainer(tmp_path, *callbacks).test(ToyDetector(), TEST.loader(), verbose=False)
    return run


def test_pictures_carry_the_true_defect_as_a_mask(run):
    pictures = run.logged["test/panels"]
    truths = [picture._masks["truth"]._val["mask_data"] for picture in pictures]
    paths = [picture._caption.split(" · ")[0] for picture in pictures]
    for path, truth in zip(paths, truths, strict=True):
        index = int(path.removesuffix(".png").split("/")[-1])
        np.testing.assert_array_equal(truth, TEST.mask[index, 0].numpy())


def test_the_table_lists_every_image_and_the_summary_holds_the_figures(run):
    table = run.logged["per_image"]
    assert table.columns == list(COLUMNS)
    assert [row[0] for row in table.data] == [TEST.path(index) for index in range(24)]
    assert run.summary["image_auroc"] > 0


def test_the_chart_of_verdicts_is_sent(run):
    (chart,) = run.logged["test/verdict"]
    assert chart.image.size[0] > 1000


def test_without_such_a_logger_nothing_is_sent(tmp_path):
    assert weights_and_biases.runs(trainer(tmp_path)) == []
