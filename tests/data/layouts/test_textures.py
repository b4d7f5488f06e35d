"""The built-in data set: disjoint crops of one photograph, and painted defects."""

import numpy as np
import pytest

from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.painting.built_in import BUILT_IN_DEFECTS


@pytest.mark.parametrize("name", ["brick", "grass", "gravel"])
def test_parts_of_the_photograph_are_disjoint(name):
    dataset = Textures(name, crop=64)
    dataset._photograph = np.arange(512 * 512).reshape(512, 512, 1)  # every pixel is its own address
    uses = (dataset.train_samples(), dataset.validation_samples(), [s for s in dataset.test_samples() if not s.label])
    seen = [set(np.concatenate([dataset.read(sample)[0].ravel() for sample in use]).tolist()) for use in uses]
    assert all(seen)
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_textures_are_the_same_in_every_order_and_instance():
    first, second = Textures("gravel"), Textures("gravel")
    samples = first.test_samples()
    backwards = [second.read(sample) for sample in reversed(samples)][::-1]
    for sample, (image, mask) in zip(samples, backwards, strict=True):
        assert np.array_equal(first.read(sample)[0], image)
        assert mask.any() == sample.label


def test_texture_defects_come_in_equal_numbers():
    kinds = [sample.kind for sample in Textures("brick", test=80).test_samples()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "good": 40,
        **{defect.kind: 8 for defect in BUILT_IN_DEFECTS},
    }
