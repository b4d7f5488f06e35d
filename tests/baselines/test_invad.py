"""InvAD: the map and the score are those of its formulas, written out; a score depends on one image only."""

import pytest
import torch
from analytic import TinyFeatures, awakened, exact_denoiser, image_batch, normal_images, single
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from anomaly_diffusion.baselines.invad import InvAD
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.inversion import Inversion, LatentNorm
from anomaly_diffusion.types import ImageBatch

COMPONENTS = 5


def detector(steps: int = 3) -> InvAD:
    with isolate_rng():
        torch.manual_seed(0)
        backbone = awakened(UNet(COMPONENTS, width=8, multipliers=(1, 2), patch=1))
        made = InvAD(TinyFeatures(), backbone, Objective(), depth=20.0, steps=steps, components=COMPONENTS).eval()
    seen = image_batch(24, seed=3)
    made.codec.fit(made.codec.moments(seen.image))
    return made


def calibrated(sizes: tuple[int, ...] = (4, 5)) -> InvAD:
    made, normal = detector(), image_batch(sum(sizes), seed=5)
    made.calibrate([normal.rows(numbers) for numbers in torch.arange(sum(sizes)).split(list(sizes))])
    return made


def latents(made: InvAD, batch: ImageBatch) -> Tensor:
    """x_T, with the network asked at t = T / 6, T / 3 and 2 T / 3, of a cosine schedule."""
    x_0, schedule = made.codec.encode(batch.image), CosineSchedule()
    depths = [float(schedule.depth(schedule.time(torch.tensor(20.0)) * part / 3)) for part in (0, 1, 2, 3)]
    y = x_0
    for at, stride in ((depths[1] / 2, depths[1]), *((depths[i], depths[i + 1] - depths[i]) for i in (1, 2))):
        t = schedule.time(torch.full((len(x_0),), at))
        alpha = schedule(t)[0][:, None, None, None]
        y = y + stride * made.denoiser(alpha * y, t).noise
    return y / (1 + 20.0**2) ** 0.5


def by_hand(made: InvAD, batch: ImageBatch) -> Tensor:
    """Range of the norms, and the negative log-likelihood, of latents inside of the photograph."""
    rows = []
    for z in latents(made, batch).detach()[:, :, :, :-1]:  # the last column is padding for half of it and more
        norm = z.square().sum(0).sqrt()
        likelihood = -torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
        rows.append(torch.stack([norm.max() - norm.min(), likelihood]))
    return torch.stack(rows)


def padded(count: int, seed: int) -> ImageBatch:
    """Photographs whose last position of features is all padding."""
    batch = image_batch(count, seed=seed)
    batch.valid[..., -4:] = False
    return batch


@torch.no_grad()
def test_the_score_is_that_of_invad_in_deviations_of_normal_in_place_of_shares_of_the_test_set() -> None:
    made, normal, batch = detector(), padded(9, 5), padded(6, 7)
    made.calibrate([normal])
    good = by_hand(made, normal)[~normal.label]
    expected = ((by_hand(made, batch) - good.mean(0)) / good.std(0)).sum(1)
    torch.testing.assert_close(made(batch).score, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_map_is_the_channel_norm_of_the_latent() -> None:
    made, batch = detector(), image_batch(3)
    found = made.decoded(batch).anomaly_maps
    assert found is not None
    torch.testing.assert_close(found[:, 0] * COMPONENTS**0.5, latents(made, batch).norm(dim=1), rtol=1e-4, atol=1e-5)


def test_the_latent_of_normal_data_of_unit_variance_is_white_noise() -> None:
    """x_T = sqrt(alpha^2 + sigma^2) x_0 for N(0, 1): its norm is 1 on average, that of what lies beyond is larger."""
    x_0 = normal_images(4, 8, 16, 16, mean=0.0, spread=1.0)
    path = Inversion((20.0,), 400, LatentNorm())
    anomaly_maps = path(exact_denoiser(mean=0.0, spread=1.0), torch.cat([x_0, 3 * x_0]), torch.zeros_like).anomaly_maps
    assert anomaly_maps is not None
    assert float(anomaly_maps[:4].square().mean()) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(anomaly_maps[4:], 3 * anomaly_maps[:4])


def test_a_score_depends_on_one_image_only() -> None:
    made, batch = calibrated(), image_batch(4)
    together = made(batch)
    for index in range(4):
        torch.testing.assert_close(made(single(batch, index)).score[0], together.score[index], rtol=1e-4, atol=1e-4)


def test_what_a_score_is_measured_by_does_not_depend_on_batches_and_is_in_the_checkpoint() -> None:
    made, whole = calibrated(), calibrated((9,))
    torch.testing.assert_close(made.mean, whole.mean)
    torch.testing.assert_close(made.std, whole.std)
    again = detector()
    again.load_state_dict(made.state_dict())
    torch.testing.assert_close(again(image_batch(3)).score, made(image_batch(3)).score, rtol=0, atol=0)


def test_what_is_read_at_the_end_is_part_of_the_judgement() -> None:
    assert Inversion((20.0,), 3).settings != Inversion((20.0,), 3, LatentNorm()).settings
    assert detector(steps=2).scoring_fingerprint != detector(steps=3).scoring_fingerprint


def test_one_normal_image_is_too_few() -> None:
    with pytest.raises(ValueError, match="One normal image has no spread"):
        detector().calibrate([image_batch(1)])
