import pytest
import pytorch_lightning as pl
import torch
from analytic import awakened, image_batch, single
from detector_cases import QUIET, STRATEGIES, Photographs
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.residual import L1Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch, Prediction

strategies = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())


class LearningDetector(PixelDetector):
    """With an optimiser of its own, which is otherwise the command line's business."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def _detector(strategy: Reconstruction = STRATEGIES["noise-free"]) -> LearningDetector:
    with isolate_rng():
        torch.manual_seed(0)
        return LearningDetector(
            backbone=awakened(UNet(width=8, multipliers=(1, 2))),
            schedule=CosineSchedule(),
            parametrisation=VelocityPrediction(),
            noise=GaussianNoise(),
            objective=Objective(),
            reconstruction=strategy,
            scoring=Scoring([L1Residual(), SSIMResidual()]),
        ).eval()


def _calibrated(strategy: Reconstruction = STRATEGIES["noise-free"]) -> LearningDetector:
    detector = _detector(strategy)
    detector.calibrate([image_batch(6, seed=5)])
    return detector


def _loader() -> DataLoader:
    return DataLoader(Photographs(5), batch_size=None)


def _fit(seed: int, tmp_path, **options) -> LearningDetector:
    pl.seed_everything(seed, verbose=False)
    detector = _detector()
    detector.train()
    trainer = pl.Trainer(**{"max_steps": 5, "default_root_dir": tmp_path} | QUIET | options)
    trainer.fit(detector, _loader(), DataLoader(Photographs(2), batch_size=None))
    return detector


def _assert_same(ours: Prediction, theirs: Prediction, atol: float) -> None:
    for name in ("reconstruction", "depth_maps", "anomaly_map", "score"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=atol, msg=name)


@strategies
def test_an_image_is_judged_alone_whatever_batch_it_is_in(strategy: Reconstruction) -> None:
    detector, batch = _calibrated(strategy), image_batch(5)
    together = detector(batch)
    for index in range(5):
        alone = detector(single(batch, index))
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.score[0], together.score[index], rtol=1e-4, atol=1e-4)


@strategies
def test_the_order_of_images_does_not_change_their_verdicts(strategy: Reconstruction) -> None:
    detector, batch = _calibrated(strategy), image_batch(5)
    backwards = batch.rows(torch.arange(4, -1, -1))
    torch.testing.assert_close(detector(backwards).score.flip(0), detector(batch).score, rtol=1e-4, atol=1e-4)


@strategies
def test_the_same_image_is_judged_the_same_every_time(strategy: Reconstruction) -> None:
    detector, batch = _calibrated(strategy), image_batch(5)
    first = detector(batch)
    torch.manual_seed(12345)
    _assert_same(detector(batch), first, atol=0)


@pytest.mark.parametrize("name", ["antithetic", "partial"])
def test_noise_is_decided_by_key_and_seed(name: str) -> None:
    detector, batch = _calibrated(STRATEGIES[name]), image_batch(2)
    score = detector(batch).score
    renamed = detector(batch._replace(key=batch.key + torch.tensor([0, 1]))).score
    assert renamed[0] == score[0]
    assert renamed[1] != score[1]
    detector.noise_seed.fill_(1)
    assert (detector(batch).score != score).all()


@strategies
def test_an_uncalibrated_detector_refuses_to_judge(strategy: Reconstruction) -> None:
    with pytest.raises(ValueError, match="not calibrated"):
        _detector(strategy)(image_batch(2))


def test_calibration_is_blind_to_defective_images_and_to_padding() -> None:
    batch = image_batch(6)
    unlucky = batch._replace(
        image=torch.where(batch.label[:, None, None, None], torch.ones_like(batch.image), batch.image)
    )
    clean, changed = _detector(), _detector()
    clean.calibrate([batch])
    changed.calibrate([unlucky])
    torch.testing.assert_close(clean.calibration.covariance, changed.calibration.covariance, rtol=1e-6, atol=0)
    assert clean.calibration.count == (batch.valid & ~batch.mask).flatten(1).sum(1)[~batch.label].sum()


def test_calibration_without_a_normal_image_is_refused() -> None:
    batch = image_batch(3)
    with pytest.raises(ValueError, match="No normal image"):
        _detector().calibrate([batch._replace(label=torch.ones(3, dtype=torch.bool))])


@strategies
def test_normal_pixels_have_mean_zero_and_spread_one(strategy: Reconstruction) -> None:
    detector, batch = _calibrated(strategy), image_batch(6, seed=5)
    verdict, normal = detector(batch), batch.valid & ~batch.label[:, None, None, None]
    for depth_map in [*verdict.depth_maps.unbind(1), verdict.anomaly_map[:, 0]]:
        pixels = depth_map[normal[:, 0]].double()
        assert abs(pixels.mean()) < 1e-4
        assert abs(pixels.std(correction=0) - 1) < 1e-4


def test_calibrating_in_parts_is_calibrating_at_once() -> None:
    batch = image_batch(6)
    whole, parts = _detector(), _detector()
    whole.calibrate([batch])
    parts.calibrate([single(batch, index) for index in range(6)])
    torch.testing.assert_close(whole.calibration.covariance, parts.calibration.covariance, rtol=1e-4, atol=1e-9)


def test_a_checkpoint_holds_all_that_a_verdict_needs() -> None:
    detector, batch = _calibrated(STRATEGIES["antithetic"]), image_batch(3)
    detector.noise_seed.fill_(77)
    detector.image_threshold.fill_(3.0)
    restored = _detector(STRATEGIES["antithetic"])
    restored.load_state_dict(detector.state_dict())
    _assert_same(restored(batch), detector(batch), atol=0)
    assert restored.image_threshold == 3


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path) -> None:
    first, second, other = (_fit(seed, tmp_path).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) or first[name].isnan().all() for name in first)
    assert any(not torch.equal(first[name], other[name]) for name, _ in _detector().named_parameters())


def test_training_is_the_same_whether_or_not_random_numbers_are_used_elsewhere(tmp_path) -> None:
    class Gambler(pl.Callback):
        def on_train_batch_start(self, *_: object) -> None:
            torch.rand(7)

    plain, disturbed = _fit(3, tmp_path), _fit(3, tmp_path, callbacks=[Gambler()])
    for ours, theirs in zip(plain.parameters(), disturbed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_validation_calibrates_with_the_weights_it_validates(tmp_path) -> None:
    detector = _fit(3, tmp_path)
    by_validation = detector.calibration.covariance.clone()
    detector.eval().calibrate(Photographs(2).batches)
    torch.testing.assert_close(detector.calibration.covariance, by_validation, rtol=1e-9, atol=0)


def test_mixed_precision_calibrates_what_it_judges(tmp_path) -> None:
    verdicts: list[tuple[ImageBatch, Prediction]] = []

    class Collect(pl.Callback):
        def on_validation_batch_end(self, trainer, detector, outputs, batch, *_: object) -> None:
            with trainer.precision_plugin.val_step_context():
                verdicts.append((batch, detector(batch)))  # a validation step judges each normal image apart

    _fit(3, tmp_path, precision="bf16-mixed", num_sanity_val_steps=0, callbacks=[Collect()])
    pixels = torch.cat(
        [verdict.anomaly_map[batch.valid & ~batch.label[:, None, None, None]] for batch, verdict in verdicts[-2:]]
    )
    assert pixels.dtype == torch.float32
    assert abs(pixels.mean()) < 1e-4
    assert abs(pixels.std(correction=0) - 1) < 1e-4


def test_training_lowers_the_loss(tmp_path) -> None:
    before = _detector()
    after = _fit(0, tmp_path, max_steps=40)

    def loss(detector: LearningDetector) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        images = Photographs(5).batches[0].image
        return detector.objective(detector.denoiser, detector.noise, images, generator).mean()

    assert loss(after) < 0.9 * loss(before)
