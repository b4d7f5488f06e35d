"""Diffusion on latents: every strategy works unchanged, and no stale latent is ever found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from analytic import awakened, image_batch, single
from detector_cases import QUIET, STRATEGIES, Photographs
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader

from anomaly_diffusion.codecs.latent import Against, AgainstInput, AgainstLatents, AgainstRoundTrip
from anomaly_diffusion.detectors.latent_cache import LatentCache
from anomaly_diffusion.detectors.latent_detector import LatentDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.buffers import freeze, identity
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.guided import Guided
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.scoring.residual import L1Residual, L2Residual
from anomaly_diffusion.scoring.scorer import Scoring

CHANNELS = 4


def _detector(
    strategy: Reconstruction = STRATEGIES["noise-free"],
    against: Against | None = None,
    cache: LatentCache | None = None,
    channels: int = CHANNELS,
) -> LatentDetector:
    with isolate_rng():
        torch.manual_seed(0)
        return LatentDetector(
            autoencoder=ConvAutoencoder(CHANNELS, widths=(8, 16), patch=2),
            backbone=awakened(UNet(channels, width=8, multipliers=(1, 2), patch=1)),
            noise=GaussianNoise(),
            objective=Objective(),
            reconstruction=strategy,
            scoring=Scoring([L1Residual(), L2Residual()]),
            against=against,
            cache=cache,
        ).eval()


def _calibrated(strategy: Reconstruction = STRATEGIES["noise-free"], against: Against | None = None) -> LatentDetector:
    detector = _detector(strategy, against)
    detector.codec.fit(detector.codec.moments(image_batch(12, seed=3).image))
    detector.calibrate([image_batch(6, seed=5)])
    return detector


def _judged_alone(detector: LatentDetector, depths: int) -> None:
    batch = image_batch(3)
    together = detector(batch)
    assert together.anomaly_map.shape == (3, 1, 16, 16)
    assert together.reconstruction.shape == (3, depths, 3, 16, 16)
    for index in range(3):
        alone = detector(single(batch, index))
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(alone.score[0], together.score[index], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("strategy", [*STRATEGIES.values(), Guided((0.5,), steps=2)])
def test_an_image_is_judged_alone_by_every_strategy(strategy: Reconstruction) -> None:
    _judged_alone(_calibrated(strategy), len(strategy.depths))


@pytest.mark.parametrize("against", [AgainstInput(), AgainstRoundTrip(), AgainstLatents()])
def test_an_image_is_judged_alone_against_everything(against: Against) -> None:
    _judged_alone(_calibrated(against=against), 2)


def test_a_checkpoint_holds_all_that_a_verdict_needs_but_the_autoencoder() -> None:
    detector, batch = _calibrated(), image_batch(3)
    restored = _detector()
    restored.load_state_dict(detector.state_dict())
    assert not [name for name in detector.state_dict() if "encoder" in name or "decoder" in name]
    assert torch.equal(restored(batch).anomaly_map, detector(batch).anomaly_map)


def test_a_backbone_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="`backbone` must work on the 4 channels of the autoencoder's latent"):
        _detector(channels=3)


def test_what_is_asked_of_the_network_is_shown_in_pixels() -> None:
    assert all(asked.x_t.shape == (2, 3, 16, 16) for asked in _calibrated().trace(image_batch(2)))


def _fit(cache: LatentCache, folder: Path) -> LatentDetector:
    pl.seed_everything(3, verbose=False)
    detector = _detector(cache=cache).train()
    loaders = (DataLoader(Photographs(count), batch_size=None) for count in (4, 2))
    pl.Trainer(max_steps=6, default_root_dir=folder, **QUIET).fit(detector, *loaders)
    return detector


def test_latents_from_memory_or_disk_train_the_network_that_fresh_ones_train(tmp_path: Path) -> None:
    disk = LatentCache(1, str(tmp_path / "latents"))
    fresh, *kept = (_fit(cache, tmp_path) for cache in (LatentCache(0), LatentCache(1), disk))
    assert len(list((tmp_path / "latents").rglob("*.safetensors"))) == 4 * 4
    for cached in kept:
        assert cached.codec.fitted
        for ours, theirs in zip(cached.denoiser.parameters(), fresh.denoiser.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)  # kept in half precision


def test_training_leaves_the_autoencoder_as_it_was_and_moves_the_network(tmp_path: Path) -> None:
    before, after = _detector(), _fit(LatentCache(), tmp_path)
    assert before.codec.identity == identity(after.codec.autoencoder)
    assert not list(after.codec.parameters())
    assert all(tensor.grad is None for tensor in after.codec.autoencoder.buffers())
    moved = zip(before.denoiser.parameters(), after.denoiser.parameters(), strict=True)
    assert any(not torch.equal(ours, theirs) for ours, theirs in moved)


class _Counting:
    """Encodes, and counts the images that it was given."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode, self.count = encode, 0

    def __call__(self, image: Tensor) -> Tensor:
        self.count += len(image)
        return self.encode(image)


def _network(seed: int) -> ConvAutoencoder:
    torch.manual_seed(seed)
    network = ConvAutoencoder(CHANNELS, widths=(8,), patch=4)
    freeze(network)
    return network


def _asked(folder: Path, network: ConvAutoencoder, image: Tensor) -> int:
    """How many images had to be encoded."""
    encode = _Counting(network.encode)
    latent = LatentCache(1, str(folder)).latents(image, encode, identity(network))
    torch.testing.assert_close(latent, network.encode(image), rtol=1e-2, atol=1e-2)
    return encode.count


def test_only_what_has_changed_is_encoded_anew(tmp_path: Path) -> None:
    image = image_batch(3).image
    assert _asked(tmp_path, _network(0), image) == 3
    assert _asked(tmp_path, _network(0), image) == 0
    changed = image.clone()
    changed[1, 0, 2, 3] += 1e-3
    assert _asked(tmp_path, _network(0), changed) == 1
    assert _asked(tmp_path, _network(0), image[:, :, :8]) == 3  # framed otherwise
    assert _asked(tmp_path, _network(1), image) == 3  # other weights
    assert _asked(tmp_path, _network(0), image) == 0


def test_a_file_that_was_never_finished_is_written_again(tmp_path: Path) -> None:
    image = image_batch(1).image
    _asked(tmp_path, _network(0), image)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    assert _asked(tmp_path, _network(0), image) == 1
    assert _asked(tmp_path, _network(0), image) == 0
