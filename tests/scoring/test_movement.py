"""Doctor's measure of motion, on photographs whose motion is known."""

import cv2
import numpy as np
import pytest
from skimage import data

from anomaly_diffusion.scoring.movement import movement

PART = cv2.resize(data.camera(), (160, 120), interpolation=cv2.INTER_AREA).astype(np.float32)


def frames(shifts, angles):
    found = []
    for shift, angle in zip(shifts, angles, strict=True):
        matrix = cv2.getRotationMatrix2D((79.5, 59.5), angle, 1.0)
        matrix[:, 2] += shift
        found.append(cv2.warpAffine(PART, matrix, (160, 120), borderMode=cv2.BORDER_REFLECT))
    return found


def test_moving_parts_are_measured_and_registration_is_advised():
    shifts = [(3, 0), (-3, 0), (0, 3), (0, -3), (2, 2), (-2, -2), (0, 0), (0, 0)]
    found = movement(frames(shifts, [0, 0, 0, 0, 0, 0, 2, -2]))
    expected = np.hypot(*np.array(shifts).T) / 160
    np.testing.assert_allclose(found.shifts, expected, atol=0.5 / 160)
    np.testing.assert_allclose(found.degrees, [0, 0, 0, 0, 0, 0, 2, 2], atol=0.3)
    assert found.moves
    assert "--model.init_args.scoring.registration Registration" in str(found)


def test_parts_that_lie_alike_need_nothing():
    noisy = [PART + np.random.default_rng(number).normal(0, 5, PART.shape).astype(np.float32) for number in range(6)]
    found = movement(noisy)
    assert not found.moves
    assert "they lie alike, nothing is to be done" in str(found)


@pytest.mark.parametrize("texture", [data.grass, data.gravel])
def test_random_texture_has_no_motion(texture):
    photograph = texture().astype(np.float32)
    crops = [
        photograph[row : row + 64, column : column + 64]
        for row, column in np.random.default_rng(0).integers(400, size=(8, 2))
    ]
    found = movement(crops)
    assert not found.moves
    assert "registration cannot help" in str(found)
