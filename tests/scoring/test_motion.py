"""A motion that is known is found, one that is not there is not believed."""

import cv2
import numpy as np
import pytest
from skimage import data

from anomaly_diffusion.scoring.motion import motion_between, moved

PHOTOGRAPH = cv2.resize(data.camera().astype(np.float32), (300, 260), interpolation=cv2.INTER_AREA)


def turned(image, dx, dy, degrees):
    """The photograph of a part that lies elsewhere, and the motion there."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1.0)
    matrix[:, 2] += dx, dy
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), matrix


@pytest.mark.parametrize("size", [(130, 150), (260, 300), (520, 600)])
@pytest.mark.parametrize(
    ("dx", "dy", "degrees"), [(7.0, -4.0, 0.0), (-12.4, 3.3, 3.0), (0.0, 0.0, -6.0), (1.5, 9.25, 1.0)]
)
def test_a_known_motion_is_found(size, dx, dy, degrees):
    image = cv2.resize(PHOTOGRAPH, size[::-1], interpolation=cv2.INTER_CUBIC)
    other, known = turned(image, dx, dy, degrees)
    found = motion_between(image, other)
    corners = np.array([[0, 0, 1], [size[1], 0, 1], [0, size[0], 1], [size[1] / 2, size[0] / 2, 1]])
    away = np.hypot(*(corners @ (found.matrix - known).T).T)
    assert away[-1] < 0.5  # pixels, in the middle
    assert abs(found.degrees - degrees) < 0.3
    assert found.after > 0.98 > found.before
    inner = np.s_[30:-30, 30:-30]
    assert np.abs(moved(other, found.matrix) - image)[inner].mean() < 0.3 * np.abs(other - image)[inner].mean()


def test_a_photograph_that_lies_as_the_mean_does_is_left_alone():
    found = motion_between(PHOTOGRAPH, PHOTOGRAPH.copy())
    assert not found.moves
    assert found.shift(PHOTOGRAPH.shape) == found.degrees == 0


def test_motions_beyond_the_bounds_are_not_believed():
    far, _ = turned(PHOTOGRAPH, 45.0, 0.0, 0.0)
    assert abs(motion_between(PHOTOGRAPH, far, shift=0.3).shift(far.shape) - 45) < 0.5
    assert motion_between(PHOTOGRAPH, far, shift=0.1).shift(far.shape) <= 30
    tilted, _ = turned(PHOTOGRAPH, 0.0, 0.0, 8.0)
    assert abs(motion_between(PHOTOGRAPH, tilted).degrees - 8) < 0.3
    assert abs(motion_between(PHOTOGRAPH, tilted, turn=5.0).degrees) <= 5
    assert motion_between(PHOTOGRAPH, tilted, rotation=False).degrees == 0


@pytest.mark.parametrize("other", [np.zeros_like(PHOTOGRAPH), np.full_like(PHOTOGRAPH, 255.0)])
def test_where_nothing_is_to_be_seen_nothing_moves(other):
    assert not motion_between(PHOTOGRAPH, other).moves
    assert not motion_between(other, PHOTOGRAPH).moves
