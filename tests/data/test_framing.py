import numpy as np
import pytest
import torch

from anomaly_diffusion.data.framing import CenterCrop, Letterbox, Policy, Resize, to_original

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
    framed = policy.place(size, image_size).mask(mask)
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
    assert np.array_equal(placement.mask(image[..., 0] > 128), image[..., 0] > 128)
    assert placement.valid().all()
    residual = torch.rand(1, 32, 48)
    assert torch.allclose(to_original(residual, (32, 48), policy), residual)


def test_shrinking_averages_areas():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    means = image.reshape(16, 4, 16, 4).mean((1, 3))
    assert np.abs(Resize().place((64, 64), (16, 16)).image(image)[..., 0] - means).max() <= 0.5


def test_masks_are_sampled_not_averaged():
    mask = np.random.default_rng(0).random((64, 64)) > 0.5
    assert np.array_equal(Resize().place((64, 64), (16, 16)).mask(mask), mask[2::4, 2::4])


@every
def test_the_smallest_defect_keeps_one_pixel_in_its_place(policy):
    for row, column in [(101, 107), (128, 99), (150, 150)]:
        mask = np.zeros((256, 256), bool)
        mask[row, column] = True
        framed = policy.place((256, 256), (64, 64)).mask(mask)
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
