"""Limits come from normal validation images alone, stay through a test, and make every judged image a verdict."""

import math

import numpy as np
import pytest
import torch
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks import verdicts
from anomaly_diffusion.callbacks.run_card import RunCard
from anomaly_diffusion.callbacks.verdicts import Verdicts
from anomaly_diffusion.measures.controls import statistics
from anomaly_diffusion.scoring.normal_scores import NormalScores
from anomaly_diffusion.verdicts.conformal import Limit

TRAIN, VALIDATION, TEST = ToyImages(30, normal_only=True), ToyImages(60, seed=1), ToyImages(24, seed=2)


class JudgedToy(ToyDetector):
    """A toy that keeps what verdicts compare with."""

    def __init__(self):
        super().__init__()
        self.normal_scores = NormalScores()

    def training_batches(self):
        return [TRAIN.batch(list(range(10))), TRAIN.batch(list(range(10, 30)))]


def judged(folder, validation=VALIDATION, test=TEST, verdicts=None):
    card, verdicts, detector = RunCard(), verdicts or Verdicts(), JudgedToy()
    run = trainer(folder, card, verdicts)
    run.fit(detector, TRAIN.loader(), validation.loader())
    run.test(detector, test.loader(), verbose=False)
    return run, detector, verdicts


def test_limits_are_those_of_normal_validation_images(tmp_path):
    _, detector, _ = judged(tmp_path)
    normal = VALIDATION.batch((~VALIDATION.label).nonzero()[:, 0].tolist())
    scores = detector.judge(normal)
    assert detector.normal_scores.held_out.shape == (4, 30)
    assert detector.normal_scores.held_out[0].tolist() == pytest.approx(sorted(scores.score.tolist()))
    assert float(detector.image_threshold) == pytest.approx(Limit(scores.score.double().numpy(), 0.05).value)
    peaks = scores.anomaly_map.flatten(1).amax(1).double().numpy()
    assert float(detector.pixel_threshold) == pytest.approx(Limit(peaks, 0.05).value)
    images = TRAIN.batch(list(range(30)))
    expected = statistics(images.image, images.valid).double().T.sort(1).values
    assert torch.equal(detector.normal_scores.of_image, expected)


def test_painted_and_test_images_have_no_say(tmp_path):
    _, detector, _ = judged(tmp_path / "a")
    wilder = ToyImages(60, seed=1)
    wilder.image[wilder.label] += 1
    flipped = ToyImages(24, seed=2)
    flipped.label, flipped.mask = ~flipped.label, ~flipped.mask
    _, other, _ = judged(tmp_path / "b", wilder, flipped)
    for name, value in detector.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("batch_size", [1, 7, 60])
def test_limits_do_not_depend_on_the_batch(tmp_path, batch_size):
    _, detector, _ = judged(tmp_path / "a")
    other = JudgedToy()
    run = trainer(tmp_path / "b", RunCard(), Verdicts())
    run.fit(other, TRAIN.loader(), VALIDATION.loader(batch_size))
    assert torch.equal(other.normal_scores.held_out, detector.normal_scores.held_out)


def test_a_test_takes_its_own_rate_from_the_same_scores(tmp_path):
    run, detector, verdicts = judged(tmp_path / "a")
    run.save_checkpoint(tmp_path / "run.ckpt")
    asked = Verdicts(false_alarms=0.3)
    fresh = JudgedToy()
    other = trainer(tmp_path / "b", RunCard(), asked)
    other.test(fresh, TEST.loader(), ckpt_path=tmp_path / "run.ckpt", verbose=False)
    assert torch.equal(fresh.normal_scores.held_out, detector.normal_scores.held_out)
    assert asked.shared.verdicts["limit"] < verdicts.shared.verdicts["limit"]
    assert asked.shared.verdicts["false_alarms_asked"] == 0.3
    p_values = {one.path: one.verdict.p_value for one in verdicts.shared.results}
    assert {one.path: one.verdict.p_value for one in asked.shared.results} == p_values
    for one in asked.shared.results:
        assert one.verdict.defective == (p_values[one.path] <= 0.3)


def test_every_result_has_boxes_and_peaks_in_pixels_of_its_file(tmp_path):
    _, _, verdicts = judged(tmp_path)
    found = [one for one in verdicts.shared.results if one.outcome == "found"]
    assert found
    for one in found:
        mask = TEST.mask[int(one.path[-7:-4]), 0].numpy().repeat(2, 1)  # files are 20 x 40, frames 16 x 16
        x, y = one.verdict.peak
        assert 0 <= x < 40
        assert 0 <= y < 20
        left, right = np.flatnonzero(mask.any(0))[[0, -1]] * 40 / 32
        assert left - 2.5 <= x <= right + 4
        for region in one.verdict.regions:
            assert region.x + region.width <= 40
            assert region.y + region.height <= 20


def test_a_detector_without_normal_scores_gives_no_verdicts(tmp_path):
    card, detector = RunCard(), ToyDetector()
    run = trainer(tmp_path, card, Verdicts())
    run.fit(detector, TRAIN.loader(), VALIDATION.loader())
    run.test(detector, TEST.loader(), verbose=False)
    assert card.shared.judge is None
    assert all(one.verdict is None for one in card.shared.results)
    assert math.isnan(detector.image_threshold)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_that_cannot_be_is_refused(rate):
    with pytest.raises(ValueError, match="false_alarms"):
        Verdicts(rate)


def test_large_maps_wait_in_files_and_are_the_same(monkeypatch):
    monkeypatch.setattr(verdicts, "_LARGE", 1000)
    for values in (np.random.default_rng(0).random((40, 50)).astype(np.float32), np.eye(60, dtype=bool), np.ones(3)):
        aside = verdicts._set_aside(values)
        assert isinstance(aside, np.memmap) == (values.nbytes >= 1000)
        np.testing.assert_array_equal(aside, values)
