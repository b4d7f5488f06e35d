"""Photographs are moved onto the mean one and maps back again."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from anomaly_diffusion.scoring.registration import Registration

PHOTOGRAPH = cv2.resize(data.camera(), (96, 80), interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
SHIFTS = [(0, 0), (5, -3), (-4, 2), (2, 4), (-3, -4), (1, 0)]


def shifted(dx, dy):
    matrix = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(PHOTOGRAPH, matrix, (96, 80), borderMode=cv2.BORDER_REPLICATE)


IMAGES = torch.from_numpy(np.stack([shifted(*shift) for shift in SHIFTS]))[:, None]


@pytest.fixture(scope="module")
def registration():
    learnt = Registration()
    learnt.learn(lambda: IMAGES.split(2))
    return learnt


def test_parts_that_were_shifted_lie_alike_afterwards(registration):
    there = registration.motions(IMAGES).registered(IMAGES)
    inner = np.s_[..., 10:-10, 10:-10]
    assert there[inner].std(0).mean() < 0.2 * IMAGES[inner].std(0).mean()


def test_maps_come_back_to_where_their_photographs_have_them(registration):
    motions = registration.motions(IMAGES)
    spots = torch.zeros_like(IMAGES)
    spots[:, :, 40:44, 50:54] = 1  # the same place of the mean photograph
    back = motions.unregistered(spots)
    rows, columns = torch.meshgrid(torch.arange(80.0), torch.arange(96.0), indexing="ij")
    middles = [(float((one * columns).sum() / one.sum()), float((one * rows).sum() / one.sum())) for one in back[:, 0]]
    moved = [np.subtract(middle, middles[0]) for middle in middles]
    np.testing.assert_allclose(moved, SHIFTS, atol=0.5)


def test_what_comes_from_outside_is_no_part_of_a_photograph(registration):
    motions = registration.motions(IMAGES[1:2])
    inside = motions.inside(torch.ones(1, 1, 80, 96, dtype=torch.bool))
    lost = 1 - inside.float().mean()
    assert 0 < lost < 0.15


def test_the_motion_of_a_photograph_depends_on_no_other(registration):
    together = registration.motions(IMAGES).there
    for image, matrix in zip(IMAGES.split(1), together, strict=True):
        torch.testing.assert_close(registration.motions(image).there[0], matrix, rtol=0, atol=0)


def test_frames_of_another_size_are_refused(registration):
    with pytest.raises(ValueError, match="knows a mean frame of 1 x 80 x 96 values, got 1 x 40 x 96"):
        registration.motions(IMAGES[..., :40, :])


def test_a_checkpoint_brings_the_mean(registration):
    other = Registration()
    other.load_state_dict(registration.state_dict())
    torch.testing.assert_close(other.motions(IMAGES).there, registration.motions(IMAGES).there, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "value"), [("shift", 0.0), ("shift", 0.6), ("turn", 0.0), ("turn", 60.0)])
def test_bounds_are_checked(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must lie in"):
        Registration(**{name: value})


def test_the_mean_shows_what_lies_outside_of_a_photograph(registration):
    motions = registration.motions(IMAGES[1:2])
    there, inside = motions.registered(IMAGES[1:2]), motions.inside(torch.ones(1, 1, 80, 96, dtype=torch.bool))
    beyond = torch.nn.functional.max_pool2d(inside.float(), 3, 1, 1) == 0  # by a pixel or more
    assert beyond.any()
    torch.testing.assert_close(there[0], torch.where(beyond[0], registration.mean, there[0]))
