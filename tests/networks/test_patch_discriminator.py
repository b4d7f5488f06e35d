"""The network that tells reconstructions from photographs."""

import pytest
import torch

from anomaly_diffusion.networks.patch_discriminator import PatchDiscriminator


def textures(count=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1


def gradients(module):
    """Of its convolutions; what the last bias gets from either image may cancel."""
    return [layer.weight.grad for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]


def test_it_judges_patches_of_grey_and_colour_images():
    adversary = PatchDiscriminator(width=8, layers=2)
    assert adversary(textures()).shape == (8, 1, 8, 8)
    grey = textures()[:, :1]
    assert torch.equal(adversary(grey), adversary(grey.expand(-1, 3, -1, -1)))


def test_each_side_learns_from_its_own_loss_alone():
    adversary, rebuilt = PatchDiscriminator(width=8), textures(seed=1).requires_grad_()
    losses = adversary.losses(textures(), rebuilt)
    losses.generator.backward()
    assert all(gradient is None for gradient in gradients(adversary))
    assert rebuilt.grad.abs().sum() > 0
    rebuilt.grad = None
    losses.discriminator.backward()
    assert rebuilt.grad is None
    assert all(gradient.abs().sum() > 0 for gradient in gradients(adversary))


def test_the_losses_are_those_of_the_paper():
    adversary, image, rebuilt = PatchDiscriminator(width=8), textures(), textures(seed=1)
    losses = adversary.losses(image, rebuilt)
    real, drawn = adversary(image), adversary(rebuilt)
    expected = ((1 - real).clamp(min=0).mean() + (1 + drawn).clamp(min=0).mean()) / 2
    torch.testing.assert_close(losses.discriminator, expected)
    torch.testing.assert_close(losses.generator, -drawn.mean())


def test_it_learns_to_tell_texture_from_its_blur():
    torch.manual_seed(0)
    adversary = PatchDiscriminator(width=8)
    optimizer = torch.optim.Adam(adversary.parameters(), lr=2e-3)
    for step in range(60):
        image = textures(seed=step)
        blurred = torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
        optimizer.zero_grad()
        adversary.loss(image, blurred, step).backward()
        optimizer.step()
    image = textures(seed=1000)
    assert adversary(image).mean() > 0 > adversary(torch.nn.functional.avg_pool2d(image, 3, stride=1, padding=1)).mean()


def test_before_its_start_it_counts_for_nothing_but_names_its_weights():
    adversary, rebuilt = PatchDiscriminator(width=8, start=5), textures(seed=1).requires_grad_()
    loss = adversary.loss(textures(), rebuilt, step=4)
    loss.backward()
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(adversary))
    assert not rebuilt.grad.any()
    assert adversary.loss(textures(), rebuilt, step=5) != 0


@pytest.mark.parametrize(("name", "value"), [("weight", -0.1), ("start", -1), ("width", 0), ("layers", 0)])
def test_a_number_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be at least"):
        PatchDiscriminator(**{name: value})
