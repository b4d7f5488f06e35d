"""Activations of a denoiser that sees tiles: read of each tile in its place, judged on the photograph's own grid."""

from itertools import product

import pytest
import torch
from analytic import awakened, image_batch
from torch import Tensor

from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import LinearShortcut, UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.scoring.activations import ActivationResidual
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.residual import L1Residual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import ImageBatch, Tiling

TILES = Tiling(64, 48, 16)
SIZE = (100, 130)  # 2 x 4 tiles
STRIDE = 8


class Watched(UNet):
    """Remembers the largest image that it was shown, and how often it was asked for activations."""

    largest, asked = (0, 0), 0

    def _output(self, x_t: Tensor, *told: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        self.largest = max(self.largest, tuple(x_t.shape[-2:]))
        return super()._output(x_t, *told)

    def activations(self, x_t: Tensor, t: Tensor, place: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        self.asked += len(x_t)
        return super().activations(x_t, t, place)


def by_position(**options: bool) -> ActivationResidual:
    return ActivationResidual(MahalanobisResidual(), components=5, stride=STRIDE, **options)


def nearest(**options: bool) -> ActivationResidual:
    judge = NearestResidual(context=0.0, at_most=64)
    return ActivationResidual(judge, components=5, stride=STRIDE, **options)


def photographs(count: int, seed: int = 0, size: tuple[int, int] = SIZE, tiles: Tiling | None = TILES) -> ImageBatch:
    return image_batch(count, *size, seed)._replace(tiles=tiles)


def learnt(*residuals: ActivationResidual, size: tuple[int, int] = SIZE, shortcut: bool = False) -> PixelDetector:
    torch.manual_seed(0)
    backbone = awakened(Watched(width=8, multipliers=(1, 2), detail=4, coordinates=True))
    detector = PixelDetector(
        LinearShortcut(backbone) if shortcut else backbone,
        CosineSchedule(),
        VelocityPrediction(),
        GaussianNoise(),
        Objective(),
        OneShot([0.3, 0.8], draws=0),
        Scoring([L1Residual(), *residuals]),
    ).eval()
    detector.learn([photographs(2, seed, size) for seed in (1, 2)])
    detector.calibrate([photographs(2, 3, size)])
    return detector


@pytest.mark.parametrize("judge", [by_position, nearest])
@pytest.mark.parametrize("of_reconstruction", [False, True])
def test_the_network_sees_tiles_and_the_map_is_that_of_the_photograph(judge, of_reconstruction):
    detector = learnt(judge(of_reconstruction=of_reconstruction))
    backbone = detector.denoiser.backbone
    found = detector(photographs(1))
    assert all(seen <= side for seen, side in zip(backbone.largest, TILES[:2], strict=True))
    assert found.anomaly_map.shape == (1, 1, *SIZE)
    together = detector(photographs(3))
    assert torch.equal(together.anomaly_map[:1], found.anomaly_map)


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_cell_has_the_components_of_its_tile_in_its_place(shortcut):
    detector = learnt(by_position(), shortcut=shortcut)
    [_, residual] = detector.scoring.residuals
    batch = photographs(1)
    answers = detector._answers(batch, detector.scoring.questions)
    [found] = answers.of_image
    assert found.shape == (1, 5, 13, 17)  # cells of 8 pixels, the last ones of what the photograph begins
    corner = batch.image[..., : TILES.height, : TILES.width]
    place = torch.tensor([[-1.0, -1.0, 2 * TILES.height / SIZE[0] - 1, 2 * TILES.width / SIZE[1] - 1]])
    tile = batch._replace(image=corner, tiles=None, place=place)
    with torch.no_grad():
        expected = residual.components(corner, detector.reader_of(tile))
        elsewhere = residual.components(corner)
    torch.testing.assert_close(found[..., :5, :4], expected[..., :5, :4])
    assert not torch.allclose(expected, elsewhere)  # a tile is not a frame


@pytest.mark.parametrize("judge", [by_position, nearest])
def test_a_photograph_of_a_tiles_size_is_judged_as_without_tiles(judge):
    size = (TILES.height, TILES.width)
    detector = learnt(judge(), size=size)
    one, other = detector(photographs(3, size=size)), detector(photographs(3, size=size, tiles=None))
    assert torch.equal(one.anomaly_map, other.anomaly_map)
    assert one.nfe == other.nfe == 3


def test_two_residuals_ask_the_network_once_of_each_tile():
    detector = learnt(by_position(), nearest())
    detector.micro_batches.on_cpu = 1  # parts are not filled up
    backbone = detector.denoiser.backbone
    backbone.asked = 0
    tiles = 2 * 4
    assert detector(photographs(1)).nfe == tiles * (2 + 1)
    assert backbone.asked == tiles
    again = learnt(by_position(of_reconstruction=True))
    assert again(photographs(1)).nfe == tiles * (2 + 1 + 2) + tiles * 2  # tiles are reconstructed once more


def test_components_are_learnt_of_all_cells_of_the_photographs():
    detector = learnt(nearest())
    [_, residual] = detector.scoring.residuals
    batches = [photographs(2, seed) for seed in (1, 2)]
    seen = [detector._answers(batch, residual.components.questions).of_image[0] for batch in batches]
    rows = torch.cat(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(residual.components.mean, rows.mean(1), rtol=1e-4, atol=1e-4)
    cells = list(product(range(13), range(17)))
    assert rows.shape[1] == 4 * len(cells)


def test_cells_that_do_not_coincide_are_refused():
    with pytest.raises(ValueError, match="or cells of activations, whose stride in pixels divides 16"):
        learnt(ActivationResidual(MahalanobisResidual(), components=5, stride=12))
