"""Laws of photographs that are painted to a grid: widths and contrasts are met, and the rest is as it was."""

import numpy as np
import pytest

from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.painted_grid import Grid, PaintedGrid
from anomaly_diffusion.data.painting.families.crack import Crack
from anomaly_diffusion.data.painting.families.part import MissingPart
from anomaly_diffusion.data.painting.families.pit import Pit

WIDTHS, CONTRASTS = (0.03, 0.06), (2.0, 5.0)


def painted(*families, seed=0, defects=16):
    textures = Textures("brick", crop=160, validation=8)
    grid = Grid(families, WIDTHS, CONTRASTS, defects, seed)
    return textures, PaintedGrid(textures, textures.validation_samples(), grid)


@pytest.mark.parametrize("family", [Crack(), Pit()], ids=lambda family: family.kind)
def test_widths_and_contrasts_are_met(family):
    _, grid = painted(family)
    samples = grid.test_samples()
    for sample in samples:
        grid.read(sample)
    asked = [(width, cnr) for width in WIDTHS for cnr in CONTRASTS] * 4
    assert len(grid.met) == len(samples) == 16
    off = np.log(
        [
            [grid.met[one.path].width / width, grid.met[one.path].cnr / cnr]
            for one, (width, cnr) in zip(samples, asked, strict=True)
        ]
    )
    assert (np.abs(np.median(off, axis=0)) < 0.2).all()
    assert np.quantile(np.abs(off), 0.8) < 0.4


def test_only_the_defect_differs_from_the_photograph():
    textures, grid = painted(Crack())
    normal = {textures.name(sample): sample for sample in textures.validation_samples()}
    for sample in grid.test_samples():
        pixels, mask = grid.read(sample)
        before, _ = textures.read(normal[grid.name(sample).rpartition("/crack/")[0]])
        assert mask.any()
        assert (pixels[~mask] == before[~mask]).all()
        assert (pixels[mask] != before[mask]).any()


def test_every_photograph_is_painted_as_often():
    _, grid = painted(Crack(), Pit(), defects=16)
    names = [grid.name(sample).rsplit("/", 2)[0] for sample in grid.test_samples()]
    assert {names.count(name) for name in set(names)} == {4}
    assert {sample.kind for sample in grid.test_samples()} == {"crack", "pit"}


def test_the_same_seed_paints_the_same():
    first, again, other = (painted(Pit(), seed=seed)[1] for seed in (0, 0, 1))
    pictures = [grid.read(grid.test_samples()[0])[0] for grid in (first, again, other)]
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] != pictures[2]).any()


def test_what_a_photograph_cannot_have_is_left_out():
    _, grid = painted(MissingPart())  # of an object, and a texture is none
    assert not grid.read(grid.test_samples()[0])[1].any()
    assert grid.met == {}
