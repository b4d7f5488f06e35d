"""Normal images that set limits are judged by the others' statistics: what limits promise holds for the whole chain."""

import numpy as np
import pytest
import torch
from analytic import image_batch

from anomaly_diffusion.codecs.codec import PixelCodec
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.scoring.calibration import Calibration
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch, Reconstructed
from anomaly_diffusion.verdicts.conformal import p_values

SIDE = 8


class GreyDetector(Detector):
    """Takes every normal image for grey."""

    def __init__(self, calibration_sigma: float | None) -> None:
        scoring = Scoring(smoothing=0.0, pooling=MaxPooling(), calibration_sigma=calibration_sigma)
        super().__init__(PixelCodec(), scoring, versions=1)

    def restore(self, batch: ImageBatch, x_0: torch.Tensor) -> Reconstructed:
        return Reconstructed(torch.zeros_like(x_0)[:, None], 0)


def _normal(count: int, generator: torch.Generator) -> ImageBatch:
    batch = image_batch(count, seed=0)
    image = torch.randn(count, 3, SIDE, SIDE, generator=generator) * torch.rand(count, 1, 1, 1, generator=generator)
    empty = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    return batch._replace(
        image=image.clamp(-1, 1), mask=empty, valid=~empty, label=torch.zeros(count, dtype=torch.bool)
    )


def _p_values(detector: GreyDetector, count: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of new normal images, against held-out ones judged apart, and judged by statistics that they are part of."""
    held_out, new = _normal(count, generator), _normal(10, generator)
    detector.calibrate([held_out])
    new_scores = detector(new).score.numpy()
    apart, among = detector.validation_step(held_out, 0).score.numpy(), detector(held_out).score.numpy()
    return p_values(new_scores, apart), p_values(new_scores, among)


FEW, MANY = [(8, 200, 0.3), (19, 150, None)], [(8, 200, None), (19, 150, 0.3), (64, 60, None), (64, 60, 0.3)]
MANY += [(200, 30, None), (200, 30, 0.3)]


@pytest.mark.parametrize(
    ("count", "turns", "calibration_sigma"), [*FEW, *(pytest.param(*one, marks=pytest.mark.soak) for one in MANY)]
)
def test_small_p_values_are_as_rare_as_they_say(count, turns, calibration_sigma):
    generator, detector = torch.Generator().manual_seed(count), GreyDetector(calibration_sigma).eval()
    apart = np.concatenate([_p_values(detector, count, generator)[0] for _ in range(turns)])
    for rate in (0.05, 0.12, 0.3):
        room = 4 * np.sqrt(rate * (1 - rate) / turns / min(10, count))  # images of a turn share their normals
        assert (apart <= rate).mean() <= rate + room


def test_images_judged_among_their_own_statistics_would_promise_too_much():
    generator, detector = torch.Generator().manual_seed(0), GreyDetector(0.3).eval()
    pairs = [_p_values(detector, 8, generator) for _ in range(120)]
    apart, among = (np.concatenate(values) for values in zip(*pairs, strict=True))
    assert (among <= 0.12).mean() > (apart <= 0.12).mean() + 0.02


def test_a_normal_image_is_judged_by_a_calibration_fitted_to_the_others():
    generator, detector = torch.Generator().manual_seed(1), GreyDetector(0.3).eval()
    held_out = _normal(5, generator)
    detector.calibrate([held_out])
    judged = detector.validation_step(held_out, 0)
    for index in range(5):
        others = GreyDetector(0.3).eval()
        others.calibrate([held_out.rows(torch.tensor([one for one in range(5) if one != index]))])
        alone = others(held_out.rows(torch.tensor([index])))
        torch.testing.assert_close(judged.anomaly_map[index], alone.anomaly_map[0], rtol=1e-4, atol=1e-4)


def test_defective_images_are_judged_by_all_of_them_and_a_single_normal_one_by_itself():
    generator, detector = torch.Generator().manual_seed(2), GreyDetector(None).eval()
    held_out = _normal(1, generator)
    detector.calibrate([held_out])
    assert torch.equal(detector.validation_step(held_out, 0).score, detector(held_out).score)
    detector.calibrate([_normal(6, generator)])
    defective = _normal(3, generator)._replace(label=torch.ones(3, dtype=torch.bool))
    assert torch.equal(detector.validation_step(defective, 0).score, detector(defective).score)


def test_another_calibration_of_the_same_settings_leaves_the_first_alone():
    first = Calibration(1, 0.5)
    first.fit(first.no_moments((4, 4))._replace(products=torch.tensor([[16.0, 8.0], [8.0, 10.0]]).double()))
    before = {name: value.clone() for name, value in first.state_dict().items()}
    first.fitted_to(first.no_moments((4, 4))._replace(products=torch.tensor([[9.0, 1.0], [1.0, 10.0]]).double()))
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
