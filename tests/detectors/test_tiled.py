"""Judging on tiles: a network sees a tile, what is judged is the photograph, and nobody sees where tiles meet."""

import pytest
import torch
from analytic import TinyFeatures, image_batch
from torch import nn
from torch.nn import functional as F

from anomaly_diffusion.baselines.one_pass import OnePassDetector
from anomaly_diffusion.baselines.padim import PaDiM
from anomaly_diffusion.baselines.patchcore import PatchCore
from anomaly_diffusion.codecs.codec import PixelCodec
from anomaly_diffusion.detectors.micro_batching import MicroBatcher
from anomaly_diffusion.detectors.tiled import over_tiles, seen_once
from anomaly_diffusion.scoring.memory import Memory
from anomaly_diffusion.scoring.residual import L1Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Reconstructed, Tiling

TILES = Tiling(64, 48, 32)
SIZES = [(64, 48), (64, 49), (100, 48), (97, 131), (160, 208), (40, 130), (30, 20)]
SEES = 15  # pixels beyond which the toy looks at nothing, less than half the overlap


class Dilation(OnePassDetector):
    """Believes that a normal image is the largest of each neighbourhood: exact wherever the neighbourhood is seen."""

    largest = (0, 0)

    def __init__(self, scoring: Scoring | None = None) -> None:
        super().__init__(PixelCodec(), scoring or Scoring([L1Residual(), SSIMResidual()], smoothing=2.0))

    def restore(self, batch, x_0):
        self.largest = max(self.largest, tuple(x_0.shape[-2:]))
        return Reconstructed(F.max_pool2d(x_0, 2 * SEES + 1, 1, SEES)[:, None], nfe=1)


def photographs(count, size, seed=0, tiles=TILES):
    return image_batch(count, *size, seed)._replace(tiles=tiles)


def calibrated(size, **settings):
    detector = Dilation(**settings).eval()
    detector.calibrate([photographs(2, size, seed=9, tiles=None)])
    return detector


def same(one, other):
    names = ("anomaly_map", "score", "depth_maps", "reconstruction", "reference")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("size", SIZES)
def test_maps_of_what_is_seen_alike_everywhere_are_those_without_tiles_to_the_bit(size):
    detector = calibrated(size)
    tiled, whole = photographs(2, size), photographs(2, size, tiles=None)
    assert same(detector(tiled), detector(whole))
    detector.largest = (0, 0)
    detector(tiled)
    assert all(seen <= side for seen, side in zip(detector.largest, TILES[:2], strict=True))


def test_a_photograph_of_a_tiles_size_is_judged_as_without_tiles():
    detector = calibrated(TILES[:2])
    one, other = detector(photographs(3, TILES[:2])), detector(photographs(3, TILES[:2], tiles=None))
    assert same(one, other)
    assert one.nfe == other.nfe == 1
    assert detector(photographs(1, (160, 208))).nfe == 4 * 11  # evenly spread, each an evaluation


def part_of(batch, rows, columns):
    return batch._replace(**{name: getattr(batch, name)[..., rows, columns] for name in ("image", "mask", "valid")})


@pytest.mark.parametrize("shift", [(32, 24), (16, 0), (5, 7)])
def test_a_photograph_shifted_by_half_a_tile_has_the_same_map(shift):
    size, (down, along) = (160, 208), shift
    scene = photographs(1, (size[0] + down, size[1] + along))
    detector = calibrated(size)
    whole = detector(part_of(scene, slice(None, size[0]), slice(None, size[1]))).anomaly_map
    moved = detector(part_of(scene, slice(down, None), slice(along, None))).anomaly_map
    border = SEES + 12  # there the end of one photograph shows, but not that of the other
    inner = whole[..., down + border : -border, along + border : -border]
    shifted = moved[..., border : -border - down, border : -border - along]
    torch.testing.assert_close(inner, shifted, rtol=1e-5, atol=1e-5)  # smoothed on the photograph's own grid


@pytest.mark.parametrize("threads", [1, 3])
def test_a_score_depends_on_no_other_photograph_and_on_no_thread(threads):
    detector = calibrated((97, 131))
    batch = photographs(3, (97, 131))
    expected = detector(batch)
    detector.micro_batches.threads = threads
    for number in torch.arange(3).split(1):
        assert same(detector(batch.rows(number)), expected.rows(number))
    assert detector.micro_batches.threads == threads


class Cells(nn.Module):
    """Means of cells of so many pixels."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, batch):
        return F.avg_pool2d(batch.image, self.stride, ceil_mode=True)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_cells_of_neighbours_coincide_whatever_their_stride(stride):
    batch, cells = photographs(2, (160, 208)), Cells(stride)
    torch.testing.assert_close(over_tiles(cells, batch, MicroBatcher()), cells(batch))


def test_cells_that_do_not_coincide_are_refused():
    with pytest.raises(ValueError, match=r"has 20 cells, which do not coincide"):
        over_tiles(lambda part: part.image[..., :20, :20], photographs(1, (160, 208)), MicroBatcher())


def test_tiles_know_their_place_and_draw_noise_of_their_own():
    seen = []

    def act(part):
        seen.append(part)
        return part.image

    batch = photographs(1, (96, 96))
    over_tiles(act, batch, MicroBatcher())
    keys = {key for part in seen for key in part.key.tolist()}
    places = torch.cat([part.place for part in seen])
    assert len(keys) == len(places.unique(dim=0)) == 2 * 4
    for image, place in zip(torch.cat([part.image for part in seen]), places, strict=True):
        top, left, bottom, right = ((place + 1) / 2 * 96).round().int().tolist()
        assert torch.equal(image, batch.image[0, :, top:bottom, left:right])


@pytest.mark.parametrize("size", SIZES)
def test_whatever_is_counted_is_counted_once(size):
    batch = photographs(2, size)
    parts = list(seen_once(batch))
    assert sum(int(part.valid.sum()) for part in parts) == int(batch.valid.sum())
    total = sum(float(part.image[part.valid.expand_as(part.image)].double().sum()) for part in parts)
    assert total == pytest.approx(float(batch.image[batch.valid.expand_as(batch.image)].double().sum()))


def fit_codec(detector, batches):
    parts = [part for batch in batches for part in seen_once(batch)]
    detector.eval().codec.fit(sum(detector.codec.moments(part.image, part.valid) for part in parts))


def learnt(detector, size, tiles=TILES):
    batches = [photographs(1, size, seed, tiles) for seed in range(6)]
    fit_codec(detector, batches)
    if isinstance(detector, PatchCore):
        detector.remember(batches)
    else:
        detector.learn(batches)
    detector.calibrate(batches)
    return detector


def test_statistics_by_position_are_those_of_positions_on_the_photograph():
    detector = learnt(PaDiM(TinyFeatures(stride=4), channels=4), (100, 130))
    [gaussians] = detector.scoring.learners
    assert gaussians.mean.shape[1] == 25 * 33  # cells of 4 pixels
    assert detector(photographs(1, (100, 130))).anomaly_map.shape[-2:] == (100, 130)


def test_photographs_of_several_sizes_have_no_positions_in_common():
    detector = PaDiM(TinyFeatures(stride=4), channels=4)
    batches = [photographs(1, size, seed) for size in ((96, 96), (128, 96)) for seed in range(3)]
    fit_codec(detector, batches)
    with pytest.raises(ValueError, match=r"several sizes have no positions in common.*per_position: false"):
        detector.learn(batches)
    sized = calibrated((96, 96), scoring=Scoring(calibration_sigma=2.0))
    with pytest.raises(ValueError, match=r"calibration_sigma.* have none in common"):
        sized.calibrate(batches)


def test_a_memory_is_that_of_all_tiles_and_of_photographs_of_any_size():
    detector = PatchCore(TinyFeatures(stride=4), Memory(share=0.1), neighbours=3)
    learnt(detector, (96, 112))
    assert len(detector.memory.items) == pytest.approx(0.1 * 6 * 24 * 28, abs=1)
    batch = photographs(1, (96, 112), seed=2)
    assert detector(batch).score < detector(batch._replace(image=batch.image.flip(-1) * 3)).score
    assert detector(photographs(1, (130, 70))).anomaly_map.shape[-2:] == (130, 70)
