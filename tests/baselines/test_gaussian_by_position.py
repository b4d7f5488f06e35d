import pytest
import torch
from analytic import TinyFeatures, image_batch, single

from anomaly_diffusion.baselines.gaussian_by_position import GaussianByPosition
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring

SIDE = 32
FLOOR = 1e-3  # of the residual


def trained(prior: float = 5.0, count: int = 24, per_position: bool = True) -> GaussianByPosition:
    residual = MahalanobisResidual(per_position=per_position, prior=prior)
    scoring = Scoring([residual], smoothing=0.0, pooling=MaxPooling())
    detector = GaussianByPosition(TinyFeatures(), scoring, components=5).eval()
    reconstruction = [image_batch(4, SIDE, SIDE, seed=seed) for seed in range(count // 4)]
    detector.codec.fit(sum(detector.codec.moments(batch.image) for batch in reconstruction))
    detector.learn(reconstruction)
    detector.calibrate([image_batch(6, SIDE, SIDE, seed=100)])
    return detector


def test_distances_are_those_of_the_paper_with_our_regularised_covariance() -> None:
    detector, batch = trained(prior=0.0), image_batch(3, SIDE, SIDE, seed=50)
    seen = torch.cat([detector.codec.encode(image_batch(4, SIDE, SIDE, seed=seed).image) for seed in range(6)])
    asked = detector.codec.encode(batch.image)
    decoded = detector.decoded(batch)
    found = detector.scoring.residuals[0].maps(decoded.reference, decoded.reconstruction)[:, 0]
    for row, column in ((0, 0), (3, 2), (7, 5)):
        x = seen[:, :, row, column].double()
        covariance = torch.cov(x.T, correction=0)
        covariance += FLOOR * covariance.diagonal().mean() * torch.eye(5)
        away = asked[:, :, row, column].double() - x.mean(0)
        squared = (away @ covariance.inverse() * away).sum(1)
        torch.testing.assert_close(found[:, row, column].double(), (squared / 5).sqrt(), rtol=1e-3, atol=1e-4)


def test_a_score_depends_on_one_image_only() -> None:
    detector, batch = trained(), image_batch(5, SIDE, SIDE, seed=50)
    together = detector(batch)
    alone = [detector(single(batch, index)) for index in range(5)]
    torch.testing.assert_close(together.score, torch.cat([one.score for one in alone]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        together.anomaly_map, torch.cat([one.anomaly_map for one in alone]), rtol=1e-4, atol=1e-3
    )


def test_what_no_healthy_image_has_at_its_place_scores_higher() -> None:
    detector, batch = trained(), image_batch(1, SIDE, SIDE, seed=50)
    spoiled = batch._replace(image=batch.image.clone())
    spoiled.image[..., 8:20, 8:20] = 1.0
    assert detector(spoiled).score > detector(batch).score
    assert detector(spoiled).anomaly_map.flatten().argmax() // SIDE in range(4, 24)


@pytest.mark.parametrize("per_position", [True, False])
def test_the_picture_of_what_is_healthy_is_the_mean_of_each_position_or_of_all(per_position) -> None:
    detector = trained(prior=0.0, per_position=per_position)
    seen = torch.cat([detector.codec.encode(image_batch(4, SIDE, SIDE, seed=seed).image) for seed in range(6)])
    mean = seen.mean(0, keepdim=True) if per_position else seen.mean((0, 2, 3), keepdim=True).expand(1, -1, 8, 8)
    shown = detector(image_batch(2, SIDE, SIDE, seed=50)).reconstruction
    expected = detector.codec.picture(mean, (SIDE, SIDE)).expand(2, 1, -1, -1, -1)
    torch.testing.assert_close(shown, expected, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_gives_the_same_verdicts() -> None:
    detector, batch = trained(), image_batch(3, SIDE, SIDE, seed=50)
    scoring = Scoring([MahalanobisResidual(prior=5.0)], smoothing=0.0, pooling=MaxPooling())
    other = GaussianByPosition(TinyFeatures(), scoring, 5)
    other.load_state_dict(detector.state_dict())
    assert torch.equal(other.eval()(batch).score, detector(batch).score)


def test_all_channels_are_taken_if_no_number_is_given() -> None:
    assert GaussianByPosition(TinyFeatures(), components=None).codec.components == 10


def test_a_scoring_without_gaussians_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold a MahalanobisResidual"):
        GaussianByPosition(TinyFeatures(), Scoring(), components=5)
