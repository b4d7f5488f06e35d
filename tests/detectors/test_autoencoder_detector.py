"""An autoencoder is trained to draw normal images; what it cannot draw is its anomaly."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from analytic import image_batch, single
from detector_cases import QUIET, Photographs
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from anomaly_diffusion.baselines.one_pass import VAEFloor
from anomaly_diffusion.detectors.autoencoder_detector import AutoencoderDetector
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.patch_discriminator import PatchDiscriminator
from anomaly_diffusion.scoring.residual import L1Residual
from anomaly_diffusion.scoring.scorer import Scoring


def _network(seed: int = 0) -> ConvAutoencoder:
    with isolate_rng():
        torch.manual_seed(seed)
        return ConvAutoencoder(4, widths=(8, 16), patch=2)


def _detector(**settings: object) -> AutoencoderDetector:
    return AutoencoderDetector(_network(), Scoring([L1Residual()]), **settings)


@pytest.mark.parametrize("detector", [_detector().eval(), VAEFloor(_network(), Scoring([L1Residual()]))])
def test_an_image_is_judged_alone_by_what_the_autoencoder_cannot_draw(detector) -> None:
    detector.calibrate([image_batch(6, seed=5)])
    batch = image_batch(3)
    together = detector(batch)
    expected = _network().pixels(_network().encode(batch.image))
    torch.testing.assert_close(together.reconstruction[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(together.reference, batch.image)
    for index in range(3):
        alone = detector(single(batch, index))
        torch.testing.assert_close(alone.score[0], together.score[index], rtol=1e-3, atol=1e-3)


def _fit(detector: AutoencoderDetector, folder: Path, steps: int) -> pl.Trainer:
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(max_steps=steps, default_root_dir=folder, **QUIET)
    trainer.fit(detector, *(DataLoader(Photographs(count), batch_size=None) for count in (1, 1)))
    return trainer


def test_training_draws_images_ever_better(tmp_path: Path) -> None:
    losses = [
        _fit(_detector(crop=None), tmp_path / str(steps), steps).callback_metrics["val/loss"] for steps in (1, 40)
    ]
    assert losses[1] < 0.9 * losses[0]


def test_a_batch_without_normal_images_logs_a_loss_of_no_weight(monkeypatch) -> None:
    """Processes share what they log: one that logs nothing lets the others wait for ever."""
    detector, logged = _detector().eval(), []
    detector.calibrate([image_batch(6, seed=5)])
    monkeypatch.setattr(detector, "log", lambda name, value, **how: logged.append((name, float(value), how)))
    for index in (0, 2):  # a normal image, a defective one
        detector.validation_step(single(image_batch(3), index), 0)
    assert [(name, how["batch_size"]) for name, _, how in logged] == [("val/loss", 1), ("val/loss", 0)]
    assert logged[1][1] == 0


def test_padding_and_defects_are_no_part_of_the_loss() -> None:
    detector, batch = _detector(), image_batch(4)
    rebuilt = batch.image.clone()
    rebuilt[..., -1] += 9
    assert detector.difference(batch.image[..., :-9], rebuilt[..., :-9], batch.valid[..., :-9]) == 0
    only_l1 = _detector(losses=[L1Residual()])
    assert only_l1.difference(batch.image, rebuilt, batch.valid) == 0
    rebuilt[..., 0] += 1.5
    assert only_l1.difference(batch.image, rebuilt, batch.valid) == pytest.approx(0.1)


def test_a_crop_is_the_same_window_of_image_and_validity() -> None:
    detector, batch = _detector(crop=8), image_batch(2)
    marked = batch._replace(image=batch.valid.float().expand(-1, 3, -1, -1))
    windows = [detector._cropped(marked, torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert all(image.shape == (2, 3, 8, 8) and torch.equal(image[:, :1], valid.float()) for image, valid in windows)
    assert len({bool(valid.all()) for _, valid in windows}) == 2


def test_without_divergence_nothing_is_random() -> None:
    def losses(kl: float) -> list[float]:
        detector = _detector(kl=kl, crop=None)
        detector.log = lambda *rest, **more: None
        found = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            found.append(float(detector.training_step(image_batch(2), 0).detach()))
        return found

    first, second = losses(0.0)
    assert first == second
    first, second = losses(1e-3)
    assert first != second


def test_settings_out_of_range_are_refused() -> None:
    for settings, message in (
        ({"kl": -1.0}, "`kl` must not be negative, got -1.0"),
        ({"crop": 10}, "`crop` must be a multiple of the autoencoder's factor 4, got 10"),
        ({"losses": [L1Residual()], "weights": [1.0, 2.0]}, "`weights` must be 1 numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            _detector(**settings)


def test_an_adversary_trains_along_and_changes_what_is_drawn(tmp_path: Path) -> None:
    def trained(weight: float, start: int) -> AutoencoderDetector:
        with isolate_rng():
            torch.manual_seed(0)
            adversary = PatchDiscriminator(weight, start, width=8, layers=2)
        detector = _detector(crop=None, adversary=adversary)
        _fit(detector, tmp_path / f"{weight}-{start}", 4)
        return detector

    def drawn(detector: AutoencoderDetector) -> torch.Tensor:
        return torch.cat([weight.flatten() for weight in detector.autoencoder.parameters()])

    start, later, deaf, deceiving = (trained(*of) for of in ((1.0, 9), (1.0, 2), (0.0, 0), (1.0, 0)))
    plain = _detector(crop=None)
    _fit(plain, tmp_path / "plain", 4)
    torch.testing.assert_close(drawn(start), drawn(plain))
    torch.testing.assert_close(drawn(deaf), drawn(plain))
    assert not torch.allclose(drawn(deceiving), drawn(plain), rtol=0, atol=1e-5)
    assert not torch.allclose(drawn(later), drawn(plain), rtol=0, atol=1e-5)
    assert not torch.equal(deceiving.adversary.judge[0].weight, start.adversary.judge[0].weight)
