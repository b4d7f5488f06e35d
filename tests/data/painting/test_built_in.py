"""The defects of the built-in textures' test images, which stay as they are."""

import hashlib

import numpy as np
import pytest
from canvases import texture

from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.painting.built_in import BUILT_IN_DEFECTS, BuiltInPainter
from anomaly_diffusion.data.painting.visible import VISIBLE

MASKS = {"brick": "1a0ad9d79b734487", "grass": "f3e2764dfa21e73d", "gravel": "e15b3dcd8353a915"}


@pytest.mark.parametrize("name", MASKS)
def test_test_images_are_those_of_before(name):
    """Masks bit by bit: figures of the built-in textures are compared between versions."""
    dataset = Textures(name)
    masks = [np.packbits(dataset.read(sample)[1]) for sample in dataset.test_samples()]
    assert hashlib.sha256(np.concatenate(masks).tobytes()).hexdigest()[:16] == MASKS[name]


@pytest.mark.parametrize("defect", BUILT_IN_DEFECTS, ids=lambda defect: defect.kind)
def test_outside_the_mask_nothing_changes_and_inside_most_pixels_do(defect):
    for seed in range(5):
        image = texture((64, 64, 1), seed)
        painted, mask = BuiltInPainter(defects=[defect])(image, np.random.default_rng(seed))
        change = np.abs(painted.astype(int) - image).max(axis=2)
        assert (change[~mask] == 0).all()
        assert (change[mask] >= VISIBLE).mean() > 0.5


def test_a_lower_severity_changes_less_and_one_too_low_is_refused():
    image = texture((128, 128, 1))
    pairs = (BuiltInPainter(severity)(image, np.random.default_rng(3)) for severity in (0.4, 1.0))
    weak, strong = (np.abs(painted.astype(int) - image)[mask].mean() for painted, mask in pairs)
    assert weak < strong
    with pytest.raises(ValueError, match="raise `severity`"):
        BuiltInPainter(0.01)(texture((64, 64, 1)), np.random.default_rng(0))
