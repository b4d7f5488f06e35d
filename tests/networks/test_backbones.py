import pytest
import torch
from analytic import awakened, seeded
from torch import nn
from torch.nn import functional as F

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.noise import GaussianNoise, NoiseStream
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.layers import AttentionBlock, FourierTime, group_norm
from anomaly_diffusion.networks.transformer import DiffusionTransformer
from anomaly_diffusion.networks.unet import Backbone, DiffusersUNet, LinearShortcut, UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot

BACKBONES = {
    "default": lambda: UNet(),
    "two levels": lambda: UNet(width=8, multipliers=(1, 2), blocks=2),
    "attention": lambda: UNet(width=16, multipliers=(1, 2), attention=(1,)),
    "patch 4": lambda: UNet(width=8, multipliers=(1, 2), patch=4),
    "patch 1": lambda: UNet(channels=3, width=8, multipliers=(1,), patch=1),
    "full resolution": lambda: UNet(width=8, multipliers=(1, 2), detail=4),
    "coordinates": lambda: UNet(width=8, multipliers=(1, 2), coordinates=True),
    "shortcut": lambda: LinearShortcut(UNet(width=8, multipliers=(1, 2))),
    "diffusers": lambda: DiffusersUNet(widths=(8, 16)),
    "diffusers with attention": lambda: DiffusersUNet(widths=(8, 16), attention=(1,)),
    "diffusers, residual": lambda: DiffusersUNet(widths=(8, 16), attention=(1,), groups=4, residual_resampling=True),
    "transformer": lambda: DiffusionTransformer(channels=3, width=16, depth=2, heads=2, patch=4),
}
backbones = pytest.mark.parametrize("make", BACKBONES.values(), ids=BACKBONES.keys())
FOREIGN = ("diffusers", "shortcut", "coordinates", "transformer")
OURS = {name: make for name, make in BACKBONES.items() if not name.startswith(FOREIGN)}
unets = pytest.mark.parametrize("make", OURS.values(), ids=OURS.keys())
T = torch.tensor([0.1, 0.4, 0.9])


def _trained(make) -> Backbone:
    torch.manual_seed(1)
    return awakened(make()).eval()


def _images(height: int, width: int) -> torch.Tensor:
    return torch.randn(3, 3, height, width, generator=seeded())


@backbones
def test_an_image_is_seen_alone_whatever_batch_it_is_in(make) -> None:
    network, x_t, t = _trained(make).double(), _images(32, 32).double(), T.double()  # float32 rounds by the batch
    with torch.no_grad():
        alone = torch.cat([network(x_t[index : index + 1], t[index : index + 1]) for index in range(3)])
        torch.testing.assert_close(network(x_t, t), alone, rtol=0, atol=1e-9)


@backbones
def test_the_output_depends_on_time(make) -> None:
    network, x_t = _trained(make), _images(32, 32)
    with torch.no_grad():
        assert (network(x_t, T) - network(x_t, T.flip(0)))[[0, 2]].abs().amax((1, 2, 3)).min() > 1e-3


@backbones
def test_every_parameter_learns(make) -> None:
    network = _trained(make)
    network(_images(32, 32), T).square().mean().backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not idle


@unets
def test_an_untrained_network_says_zero(make) -> None:
    assert not make()(_images(32, 32), T).any()


@unets
@pytest.mark.parametrize(("height", "width"), [(33, 47), (16, 61), (1, 5), (50, 32)])
def test_an_image_of_any_size_is_treated_as_if_its_border_went_on(make, height: int, width: int) -> None:
    network, x_t = _trained(make), _images(height, width)
    padded = F.pad(x_t, (0, -width % network.multiple, 0, -height % network.multiple), mode="replicate")
    with torch.no_grad():
        assert torch.equal(network(x_t, T), network(padded, T)[..., :height, :width])


@unets
def test_moving_the_image_by_whole_patches_moves_the_output(make) -> None:
    """Exact on a torus, where there is no border; so all convolutions wrap around here."""
    network = _trained(make).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
    network.time.turns = network.time.turns.double()
    stride, t = network.multiple, T.double()
    x_t = _images(4 * stride, 6 * stride).double()
    with torch.no_grad():
        moved = network(x_t.roll((stride, -2 * stride), (2, 3)), t)
        torch.testing.assert_close(moved, network(x_t, t).roll((stride, -2 * stride), (2, 3)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_a_network_can_say_something_different_about_every_pixel(patch: int) -> None:
    """Folding pixels into channels loses none of them: each output pixel can follow its own input pixel."""
    network = _trained(lambda: UNet(channels=1, width=16, multipliers=(1,), patch=patch))
    x_t = torch.randn(1, 1, 8, 8, generator=seeded()).requires_grad_()
    own = [
        torch.autograd.grad(network(x_t, T[:1])[0, 0, row, column], x_t)[0][0, 0, row, column].abs()
        for row in range(4)
        for column in range(4)
    ]
    assert min(own) > 1e-6


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network, x_t = awakened(UNet(width=8, multipliers=(1, 2), dropout=0.5)), _images(16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(x_t, T), network(x_t, T))
        assert torch.equal(network.eval()(x_t, T), network(x_t, T))


def test_attention_sees_the_whole_image() -> None:
    torch.manual_seed(0)
    block, x = awakened(AttentionBlock(32, head_channels=16)), torch.randn(1, 32, 6, 7, generator=seeded())
    changed = x.clone()
    changed[..., -1, -1] += 1
    with torch.no_grad():
        assert ((block(changed) - block(x))[..., 0, 0]).abs().max() > 1e-6


def test_attention_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    block, x = awakened(AttentionBlock(8, head_channels=4)).double(), torch.randn(2, 8, 3, 5, dtype=torch.float64)
    query, key, value = block.query_key_value(block.norm(x)).flatten(2).reshape(2, 3, 2, 4, 15).unbind(1)
    weights = (torch.einsum("bhci,bhcj->bhij", query, key) / 4**0.5).softmax(-1)
    mixed = torch.einsum("bhij,bhcj->bhci", weights, value).reshape(2, 8, 3, 5)
    torch.testing.assert_close(block(x), x + block.out(mixed), rtol=0, atol=1e-12)


def test_times_that_differ_by_a_thousandth_are_told_apart() -> None:
    torch.manual_seed(0)
    t = torch.linspace(0.001, 0.999, 999)
    angle = t[:, None] * FourierTime(16).turns
    embedding = torch.cat([angle.sin(), angle.cos()], 1)
    assert embedding.diff(dim=0).norm(dim=1).min() > 0.1


@pytest.mark.parametrize("channels", [1, 3, 8, 12, 20, 32, 48, 96, 128])
def test_groups_divide_the_channels(channels: int) -> None:
    assert channels % group_norm(channels).num_groups == 0


def test_diffusers_counts_time_in_thousandths(monkeypatch: pytest.MonkeyPatch) -> None:
    network, asked = DiffusersUNet(widths=(8, 16)), []
    original = network.model.forward
    monkeypatch.setattr(network.model, "forward", lambda x, t: asked.append(t) or original(x, t))
    network(_images(16, 16), T)
    torch.testing.assert_close(asked[0], torch.tensor([100.0, 400.0, 900.0]))


def test_a_class_conditional_backbone_answers_by_category():
    backbone = awakened(UNet(width=8, multipliers=(1, 2), classes=3))
    x_t, t = torch.randn(2, 3, 8, 8, generator=seeded(0)), torch.tensor([0.3, 0.3])
    first, second = (backbone(x_t, t, torch.tensor(category)) for category in ([0, 0], [0, 2]))
    assert torch.equal(first[0], second[0])
    assert not torch.allclose(first[1], second[1])


def test_a_class_conditional_backbone_insists_on_a_category():
    with pytest.raises(ValueError, match="`category` must be given to a backbone with 3 classes"):
        UNet(width=8, classes=3)(torch.zeros(1, 3, 8, 8), torch.tensor([0.3]))


def test_a_denoiser_told_the_category_passes_it_on():
    backbone = awakened(UNet(width=8, multipliers=(1, 2), classes=2))
    denoiser = Denoiser(backbone, CosineSchedule(), VelocityPrediction())
    x_t, t, category = torch.randn(2, 3, 8, 8, generator=seeded(0)), torch.tensor(0.3), torch.tensor([1, 0])
    expected = denoiser.parametrisation.estimate(
        backbone(x_t, t.expand(2), category), x_t, *denoiser.schedule(t.expand(2))
    )
    assert torch.equal(denoiser.conditioned_on(category)(x_t, t).x_0, expected.x_0)


PLACES = {  # of 16 x 16 pixels out of 32 x 32, one after another
    (row, column): [row / 16 - 1, column / 16 - 1, row / 16, column / 16] for row in (0, 16) for column in (0, 16)
}


def test_a_backbone_with_coordinates_knows_where_it_looks_and_how_closely():
    backbone, t = awakened(UNet(width=8, multipliers=(1,), coordinates=True)).eval(), torch.tensor([0.3])
    grey = torch.zeros(1, 3, 16, 16)

    def seen(*place: float) -> torch.Tensor:
        return (
            Denoiser(backbone, CosineSchedule(), VelocityPrediction())
            .conditioned_on(torch.tensor([0]), torch.tensor([place], dtype=torch.float32))(grey, t[0])
            .x_0
        )

    with torch.no_grad():
        whole, first, last = seen(-1, -1, 1, 1), seen(*PLACES[0, 0]), seen(*PLACES[16, 16])
        assert torch.equal(whole, backbone_of(backbone)(grey, t[0]).x_0)
        assert min((whole - first).abs().max(), (first - last).abs().max()) > 1e-3


def backbone_of(backbone: Backbone) -> Denoiser:
    return Denoiser(backbone, CosineSchedule(), VelocityPrediction())


def test_parts_are_told_what_the_whole_is_told_there():
    torch.manual_seed(0)
    backbone = awakened(UNet(width=8, multipliers=(1,), blocks=1, coordinates=True)).eval()
    told: list[torch.Tensor] = []
    backbone.stem.register_forward_pre_hook(lambda _, given: told.append(given[0][:, -3:]))
    x_t, t = _images(32, 32)[:1], torch.tensor([0.3])
    with torch.no_grad():
        backbone(x_t, t)
        for (row, column), place in PLACES.items():
            backbone(
                x_t[..., row : row + 16, column : column + 16], t, place=torch.tensor([place], dtype=torch.float32)
            )
            there = told[0][..., row // 2 : row // 2 + 8, column // 2 : column // 2 + 8]
            torch.testing.assert_close(told[-1], there)
    assert told[0][0, 2].unique() == 2  # 32 pixels in cells of 2: two halvings less than 128 of them
    assert told[0][0, 0, :, 0].tolist() == [(2 * cell + 1) / 16 - 1 for cell in range(16)]


LEVELS = {"patch 4": [4, 8, 8, 4], "patch 1": [1, 1], "full resolution": [2, 4, 4, 2], "shortcut": [2, 4, 4, 2]}


@pytest.mark.parametrize(("name", "strides"), LEVELS.items())
def test_levels_have_their_grids_and_come_with_the_output_itself(name: str, strides: list[int]) -> None:
    network, x_t = _trained(BACKBONES[name]), _images(18, 27)
    with torch.no_grad():
        output, levels = network.activations(x_t, T)
        assert torch.equal(output, network(x_t, T))
    assert [tuple(level.shape[-2:]) for level in levels] == [(-(-18 // side), -(-27 // side)) for side in strides]


def test_levels_of_diffusers_are_its_blocks_and_leave_no_hook() -> None:
    network, x_t = _trained(BACKBONES["diffusers"]), _images(16, 24)
    with torch.no_grad():
        output, levels = network.activations(x_t, T)
        assert torch.equal(output, network(x_t, T))
    assert len(levels) == 4
    assert levels[-1].shape == (3, 8, 16, 24)
    assert not any(block._forward_hooks for block in (*network.model.down_blocks, *network.model.up_blocks))


def _lattice(detail: int, seed: int) -> float:
    """Power, of the image's, of what a patch of 2 x 2 repeats over a reconstruction after a little training."""
    torch.manual_seed(seed)
    network, generator = UNet(channels=1, width=8, multipliers=(1, 2), detail=detail), seeded()
    denoiser = Denoiser(network, CosineSchedule(), VelocityPrediction())
    smooth = F.interpolate(torch.randn(12, 1, 4, 4, generator=generator), size=(24, 24), mode="bicubic")
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(80):
        loss = Objective()(denoiser, GaussianNoise(), smooth[step % 3 :: 3], generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = OneShot([0.5])(denoiser, smooth, NoiseStream(GaussianNoise(), list(range(12)), 0)).x_0[:, 0, 0]
    repeated = found[:, 4:-4, 4:-4].unflatten(1, (-1, 2)).unflatten(3, (-1, 2)).mean((1, 3))
    return (repeated.var((1, 2)).mean() / found.var()).item()


def test_a_head_at_full_resolution_leaves_less_of_a_lattice() -> None:
    patches, pixels = (sum(_lattice(detail, seed) for seed in range(2)) for detail in (0, 8))
    assert pixels < 0.7 * patches
