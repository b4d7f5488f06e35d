"""Simplex noise is that of `opensimplex`, value by value and in its statistics."""

import numpy as np
import pytest
import torch
from analytic import seeded
from opensimplex import internals
from opensimplex.constants import GRADIENTS3

from anomaly_diffusion.diffusion import simplex
from anomaly_diffusion.diffusion.simplex import SimplexNoise
from anomaly_diffusion.diffusion.simplex_lattice import Octave, contributions, gradient_table, vertices_near

PERMUTATIONS = internals._init(3)
MISSED = 5e-5  # opensimplex leaves out vertices that hardly reach a point; its standard deviation is 0.31


def gradients(vertices):
    """The gradients of `opensimplex`, (K, 3)."""
    hashed, index = (torch.from_numpy(table) for table in PERMUTATIONS)
    i, j, k = (vertices & 255).unbind(-1)
    first = index[(hashed[(hashed[i] + j) & 255] + k) & 255]
    return torch.from_numpy(np.array(GRADIENTS3)).double()[first[:, None] + torch.arange(3)]


def peer(x, y, depth):
    return torch.from_numpy(internals._noise3a(x.numpy(), y.numpy(), np.array([depth]), *PERMUTATIONS)[0])


@pytest.mark.parametrize("depth", [0.0, 0.37, 5.1])
def test_the_sum_over_the_lattice_is_opensimplex(depth):
    x, y = torch.linspace(-2, 2.1, 13, dtype=torch.float64), torch.linspace(7.3, 9, 11, dtype=torch.float64)
    vertices = vertices_near((x[0].item(), y[0].item(), x[-1].item(), y[-1].item()), depth)
    matrix = contributions(vertices, x.repeat(11), y.repeat_interleave(13), depth)
    ours = (gradients(vertices).flatten() @ matrix).reshape(11, 13)
    assert (ours - peer(x, y, depth)).abs().max() < MISSED


@pytest.mark.parametrize(
    ("size", "tile", "shift"), [(16, 8, 0), (16, 8, 17), (8, 8, 5), (2, 8, 3), (3, 6, 2), (25, 25, 4)]
)
def test_the_tiles_of_an_octave_make_up_the_slice_of_opensimplex(monkeypatch, size, tile, shift):
    octave, canvas = Octave(size, tile, 0.2), simplex._Canvas(37, 22, tile, torch.device("cpu"))
    piece = simplex._Slice(octave, canvas, shift)
    down, right = octave.offset(shift)
    x = torch.arange(canvas.columns * tile, dtype=torch.float64) / size + right / size
    y = torch.arange(canvas.rows * tile, dtype=torch.float64) / size + down / size
    vertices = vertices_near((x[0].item(), y[0].item(), x[-1].item(), y[-1].item()), 0.2)
    pitch = octave.pitch((canvas.columns + 1) * tile)
    addresses = octave.address(vertices, pitch)
    assert len(addresses.unique()) == len(addresses)
    drawn = torch.zeros(3, piece.addresses, 2)
    drawn[:, addresses - piece.lowest] = gradients(vertices).float().T[:, :, None]
    monkeypatch.setattr(piece, "_gradients", lambda *_: drawn.flatten(0, 1))
    tiles = torch.empty(canvas.rows * canvas.columns * 2, tile**2)
    piece.draw(1.0, tiles, None)
    ours = canvas.image(tiles.view(-1, 2, tile**2)[piece.place], 3, 1)
    assert torch.equal(ours[0], ours[1])
    assert (ours[0] - peer(x, y, 0.2)[3 : 3 + 37, 1 : 1 + 22]).abs().max() < MISSED


def test_gradients_are_drawn_evenly_from_the_table_of_opensimplex():
    assert {tuple(row) for row in gradient_table().tolist()} == {
        tuple(row) for row in GRADIENTS3.reshape(-1, 3).tolist()
    }
    canvas = simplex._Canvas(64, 64, 8, torch.device("cpu"))
    piece = simplex._Slice(Octave(2, 8, 0.2), canvas, 0)
    drawn = piece._gradients(1.0, 24, seeded()).view(3, -1)
    table = gradient_table()
    counts = torch.stack([(drawn == row[:, None]).all(0).sum() for row in table])
    assert counts.sum() == drawn.shape[1]
    assert ((counts / counts.sum() * 24 - 1).abs() < 5 * (24 / counts.sum()) ** 0.5).all()


@pytest.fixture(scope="module")
def fields():
    """240 fields of 256 x 256, as AnoDDPM has them."""
    noise, generator = SimplexNoise(unit_variance=False), seeded(1)
    return torch.cat([noise(torch.empty(8, 3, 256, 256), generator).flatten(0, 1) for _ in range(10)])


@pytest.fixture(scope="module")
def power(fields):
    """Mean power at each whole number of cycles per image."""
    frequency = torch.fft.fftfreq(256) * 256
    radius = (frequency[:, None].square() + frequency[:129].square()).sqrt().round().long()
    spectrum = torch.stack([torch.fft.rfft2(part)[..., :129].abs().square().mean(0) for part in fields.split(24)]).mean(
        0
    )
    spectrum[:, 1:128] *= 2
    return torch.bincount(radius.flatten(), spectrum.flatten().double()), torch.bincount(radius.flatten())


def test_spread_and_tails_are_those_of_anoddpm(fields):
    # 240 fields of 16 units each: the standard error of the deviation is about 0.003
    assert fields.std().item() == pytest.approx(0.504, abs=0.01)
    assert abs(fields.mean()) < 0.02
    assert ((fields - fields.mean()) / fields.std()).pow(4).mean().item() - 3 == pytest.approx(-0.18, abs=0.04)


def test_power_lies_where_anoddpm_has_it(power):
    cumulative = power[0].cumsum(0) / power[0].sum()
    at = cumulative[torch.tensor([2, 4, 8, 16, 32, 64])]
    assert torch.allclose(at, at.new_tensor([0.37, 0.57, 0.74, 0.85, 0.93, 0.98]), atol=0.03)


def test_power_falls_as_that_of_anoddpm(power):
    numbers = torch.arange(2, 101)
    density = (power[0] / power[1])[numbers].log()
    slope = torch.linalg.lstsq(torch.stack([numbers.log(), torch.ones(99)], 1).double(), density[:, None]).solution[0]
    assert slope.item() == pytest.approx(-2.67, abs=0.15)  # opensimplex itself, fitted like this: -2.77


def test_unit_variance_is_the_same_field_enlarged():
    blank = torch.empty(2, 3, 20, 20)
    plain, scaled = (SimplexNoise(unit_variance=unit)(blank, seeded()) for unit in (False, True))
    assert torch.allclose(scaled / plain, (scaled / plain).mean(), rtol=1e-3)
    assert (scaled / plain).mean().item() == pytest.approx(1 / 0.504, rel=0.01)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (41, 7)])
def test_fields_of_odd_sizes_have_unit_variance(size):
    fields = SimplexNoise()(torch.empty(1200, 1, *size), seeded())
    assert fields.square().mean().item() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("settings", [{"octaves": 3, "feature_size": 12}, {"octaves": 1, "feature_size": 25}])
def test_other_sizes_of_features_have_unit_variance(settings):
    fields = SimplexNoise(**settings)(torch.empty(600, 1, 30, 30), seeded())
    assert fields.square().mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"octaves": 0}, r"`octaves` must lie in \[1, 32\], got 0"),
        ({"persistence": 0.0}, "`persistence` must be positive and finite, got 0"),
        ({"feature_size": 16}, "`feature_size` must be a multiple of .* = 32, .* got 16"),
        ({"feature_size": 40}, "`feature_size` must be a multiple of .* = 32, .* got 40"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, rule):
    with pytest.raises(ValueError, match=rule):
        SimplexNoise(**settings)
