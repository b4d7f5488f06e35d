"""Features adapted to what normal reconstructions get wrong."""

import pytest
import torch
from analytic import seeded
from frozen_networks import TinyFeatures
from torch import Tensor

from anomaly_diffusion.networks.features import FeatureExtractor
from anomaly_diffusion.scoring.adapted import AdaptedCosineResidual
from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual

VALID = torch.ones(6, 1, 64, 64, dtype=torch.bool)


class Channels(FeatureExtractor):
    """Five channels that are mixtures of colours in blocks of eight pixels, shifted so that none is zero."""

    def __init__(self) -> None:
        super().__init__(torch.nn.Conv2d(3, 5, 8, stride=8), stride=8, neighbourhood=1)
        with torch.no_grad():
            self.network.weight.copy_(torch.randn(5, 3, 1, 1, generator=seeded(3)).expand(-1, -1, 8, 8) / 64)
            self.network.bias.copy_(torch.tensor([0.6, -0.4, 0.5, 0.3, -0.7]))

    def stages(self, image: Tensor) -> list[Tensor]:
        return [self.network(image)]


def images(seed: int = 0, count: int = 6) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=seeded(seed)) * 2 - 1


def learnt(reference: Tensor, reconstruction: Tensor, **settings: float) -> AdaptedCosineResidual:
    residual = AdaptedCosineResidual(Channels(), **settings)
    residual.fit(residual.moments(reference, reconstruction, VALID))
    return residual


def rebuilt(image: Tensor) -> Tensor:
    """Reconstructions at two depths that get the red channel wrong."""
    wrong = image.clone()
    wrong[:, 0] = images(seed=7)[:, 0]
    return torch.stack([wrong, (image + wrong) / 2], dim=1)


def test_perfect_reconstructions_teach_it_nothing() -> None:
    image = images()
    residual = learnt(image, image[:, None])
    torch.testing.assert_close(residual.layer0, torch.eye(5), rtol=0, atol=1e-5)
    plain = FeatureCosineResidual(Channels())
    torch.testing.assert_close(residual(image, images(1)), plain(image, images(1)), rtol=1e-4, atol=1e-6)


def test_the_layer_is_the_minimum_of_its_objective() -> None:
    image = images()
    residual, reconstruction = learnt(image, rebuilt(image), distillation=0.3), rebuilt(image)
    plain = FeatureCosineResidual(Channels())
    u = plain.features(image)[0].repeat(2, 1, 1, 1).movedim(1, -1).double()
    v = torch.cat([plain.features(one)[0] for one in reconstruction.unbind(1)]).movedim(1, -1).double()

    def objective(layer: Tensor) -> Tensor:
        stay = ((u @ layer.T - u).square().sum(-1) + (v @ layer.T - v).square().sum(-1)) / 2
        return ((u - v) @ layer.T).square().sum(-1).mean() + 0.3 * stay.mean()

    layer = residual.layer0.double().requires_grad_()
    gradient = torch.autograd.grad(objective(layer), layer)[0]
    start = torch.autograd.grad(objective(identity := torch.eye(5).double().requires_grad_()), identity)[0]
    assert gradient.abs().max() < 1e-4 * start.abs().max()


def test_it_looks_away_from_what_reconstructions_get_wrong_and_nothing_else() -> None:
    image = images()
    residual, plain = learnt(image, rebuilt(image), distillation=0.01), FeatureCosineResidual(Channels())
    unseen = images(20)
    wrong, odd = rebuilt(unseen)[:, 0], unseen.clone()
    odd[:, 2] = images(21)[:, 2]
    shares = [residual(unseen, other).mean() / plain(unseen, other).mean() for other in (wrong, odd)]
    assert shares[0] < 0.5 * shares[1]


def test_much_distillation_is_no_adaptation() -> None:
    image = images()
    torch.testing.assert_close(learnt(image, rebuilt(image), distillation=1e6).layer0, torch.eye(5), rtol=0, atol=1e-4)


def test_moments_add_up_over_batches_and_leave_padding_out() -> None:
    image = images()
    residual, reconstruction = AdaptedCosineResidual(TinyFeatures()), rebuilt(image)
    whole = residual.moments(image, reconstruction, VALID)
    parts = [residual.moments(image[part], reconstruction[part], VALID[part]) for part in (slice(0, 2), slice(2, 6))]
    torch.testing.assert_close(whole, sum(parts), rtol=1e-5, atol=1e-5)
    nothing = residual.moments(image, reconstruction, torch.zeros_like(VALID))
    assert not nothing.any()


def test_what_was_learnt_is_in_the_checkpoint() -> None:
    image = images()
    residual, other = learnt(image, rebuilt(image)), AdaptedCosineResidual(Channels())
    with pytest.raises(RuntimeError, match="learnt nothing yet"):
        other(image, images(1))
    other.load_state_dict(residual.state_dict())
    assert torch.equal(other(image, images(1)), residual(image, images(1)))


@pytest.mark.parametrize("distillation", [0.0, -1.0, float("nan")])
def test_distillation_must_be_positive(distillation: float) -> None:
    with pytest.raises(ValueError, match="`distillation` must be positive"):
        AdaptedCosineResidual(Channels(), distillation=distillation)
