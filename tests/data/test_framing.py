import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from anomaly_diffusion.data.framing import CenterCrop, Letterbox, Policy, Resize, to_original
from anomaly_diffusion.data.regions import Regions

POLICIES = [Resize(), Letterbox(), CenterCrop()]
SIZES = [(40, 48), (26, 256), (256, 26), (64, 64), (9, 200)]
FRAMES = [(64, 64), (32, 80)]
every = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)


@every
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("image_size", FRAMES, ids=str)
def test_a_map_comes_back_to_where_the_defect_is(policy: Policy, size, image_size):
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : size[0] // 3 * 2, size[1] // 3 : size[1] // 3 * 2] = True
    framed = policy.place(size, image_size).mask(mask).mask
    back = to_original(torch.from_numpy(framed)[None].float(), size, policy)[0] > 0.5
    seen = np.zeros(size, bool)
    seen[policy.place(size, image_size).source.slices] = True
    wrong = (back.numpy() != mask) & seen
    rim = 2 * (2 * sum(size) / 3) * max(1, size[0] / image_size[0], size[1] / image_size[1])
    assert wrong.sum() <= rim


@every
def test_at_its_own_size_nothing_changes(policy):
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    placement = policy.place((32, 48), (32, 48))
    assert np.array_equal(placement.image(image), image)
    assert np.array_equal(placement.mask(image[..., 0] > 128).mask, image[..., 0] > 128)
    assert placement.valid().all()
    residual = torch.rand(1, 32, 48)
    assert torch.allclose(to_original(residual, (32, 48), policy), residual)


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    means = image.reshape(16, 4, 16, 4).mean((1, 3))
    assert np.abs(Resize().place((64, 64), (16, 16)).image(image)[..., 0] - means).max() <= 0.5


def blobs(seed, size, count=6):
    """A mask of ellipses, none thinner than eight pixels."""
    generator, mask = np.random.default_rng(seed), np.zeros(size, np.uint8)
    for _ in range(count):
        centre = tuple(int(generator.integers(side)) for side in size[::-1])
        axes = tuple(int(axis) for axis in generator.integers(5, 20, 2))
        cv2.ellipse(mask, centre, axes, float(generator.uniform(0, 180)), 0, 360, 1, -1)
    return mask > 0


def test_masks_are_sampled_not_averaged():
    for seed in range(5):
        mask = blobs(seed, (160, 160))
        assert np.array_equal(Resize().place((160, 160), (40, 40)).mask(mask).mask, mask[2::4, 2::4])


def large_and_small():
    """One large and ten 4 x 6 pixel defects on a square of 1,000."""
    mask = np.zeros((1000, 1000), bool)
    mask[100:400, 100:400] = True
    for place in range(10):
        mask[600 + 37 * place : 604 + 37 * place, 61 + 83 * place : 67 + 83 * place] = True
    return mask


def regions(mask):
    """8-connected components, by scipy."""
    return ndimage.label(mask, np.ones((3, 3)))


def scratches(seed, size, count=5):
    """A mask of thin lines of one to three pixels: what sampling breaks into dots or steps over."""
    generator, mask = np.random.default_rng(seed), np.zeros(size, np.uint8)
    for _ in range(count):
        points = [tuple(int(generator.integers(side)) for side in size[::-1]) for _ in range(2)]
        cv2.line(mask, *points, 1, int(generator.integers(1, 4)))
    return mask > 0


@pytest.mark.parametrize("policy", [Resize(), Letterbox()], ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("size", [(200, 240), (500, 90), (1000, 700), (40, 30)], ids=str)
def test_no_region_is_lost_and_none_splits(policy, size):
    for seed in range(2 if max(size) > 500 else 8):
        for mask in (scratches(seed, size), np.random.default_rng(seed).random(size) > 0.998):
            framed = policy.place(size, (64, 64)).mask(mask)
            labels, count = regions(mask)
            assert framed.regions.files == count
            assert framed.regions.lost == framed.regions.split == 0
            whole = framed.regions.files - framed.regions.merged
            assert framed.regions.whole == whole <= regions(framed.mask)[1] <= count
            alone = labels == 1
            assert regions(policy.place(size, (64, 64)).mask(alone).mask)[1] == 1


def test_a_thin_line_stays_as_long_as_it_is():
    mask = np.zeros((1000, 1000), bool)
    mask[101, 200:800] = True
    rows, columns = np.nonzero(Resize().place((1000, 1000), (64, 64)).mask(mask).mask)
    assert set(rows) == {101 * 64 // 1000}
    assert columns.min() <= 200 * 64 // 1000 + 1
    assert columns.max() >= 800 * 64 // 1000 - 1


def test_each_small_defect_beside_a_large_one_is_rescued():
    """Two of eleven were left when only a mask that would vanish as a whole was rescued."""
    mask = large_and_small()
    framed = Resize().place(mask.shape, (64, 64)).mask(mask)
    assert framed.regions == Regions(files=11, whole=11)
    assert regions(framed.mask)[1] == 11


def test_what_a_frame_merges_splits_or_loses_is_counted():
    mask = np.zeros((64, 256), bool)
    mask[10:14, 100:104] = mask[10:14, 106:110] = True  # two pixels apart: one region at a quarter
    mask[30:34, 0:4] = True  # outside the crop
    framed = CenterCrop().place((64, 256), (16, 16)).mask(mask)
    assert framed.regions.lost == 1
    assert framed.regions.merged == 2
    ring = np.zeros((64, 256), bool)
    ring[20:24, 40:200] = ring[40:44, 40:200] = ring[20:44, 40:44] = True  # closed outside the crop only
    assert CenterCrop().place((64, 256), (64, 64)).mask(ring).regions == Regions(files=1, split=1)


@every
def test_the_smallest_defect_keeps_one_pixel_in_its_place(policy):
    for row, column in [(101, 107), (128, 99), (150, 150)]:
        mask = np.zeros((256, 256), bool)
        mask[row, column] = True
        framed = policy.place((256, 256), (64, 64)).mask(mask).mask
        assert np.argwhere(framed).tolist() == [[row // 4, column // 4]]


def test_a_letterbox_keeps_the_aspect_and_knows_its_padding():
    placement = Letterbox().place((50, 100), (64, 64))
    valid = placement.valid()
    assert (placement.target.height, placement.target.width) == (32, 64)
    assert valid[16:48].all()
    assert not valid[:16].any()
    assert not valid[48:].any()
    bright = placement.image(np.full((50, 100, 1), 200, np.uint8))
    assert (bright == 200).all(), "padding repeats the border: no edge for a detector to see"


def test_a_crop_leaves_the_unseen_part_of_a_map_at_the_value_asked_for():
    back = to_original(torch.ones(1, 32, 32), (64, 128), CenterCrop(), outside=-7.0)
    assert (back[:, :, 32:96] == 1).all()
    assert (back[:, :, :32] == -7).all()
    assert (back[:, :, 96:] == -7).all()
