"""Augmentation draws each step by itself, and gives the same bits for the same seed."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from anomaly_diffusion.data.transforms import Augmentation

DRAWS = 2000
SIDE = 8
FRAME = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE, 1)
VALID = np.ones((SIDE, SIDE), bool)
EVEN = {  # steps that are done or not, and look the same whenever they are done
    "HorizontalFlip": {},
    "VerticalFlip": {},
    "Transpose": {},
    "InvertImg": {},
    "RandomBrightnessContrast": {"brightness_limit": [0.5, 0.5], "contrast_limit": [0.0, 0.0]},
    "GaussianBlur": {"blur_limit": [3, 3], "sigma_limit": [1.0, 1.0]},
}


def outcomes(augmentation, seeds=range(DRAWS)):
    """How often each image came out."""
    return Counter(augmentation(FRAME, VALID, seed)[0].tobytes() for seed in seeds)


def off(counts, kinds):
    """Deviations of counts from those of `kinds` equally likely outcomes, in standard deviations."""
    assert len(counts) == kinds
    expected = DRAWS / kinds
    return [(count - expected) / np.sqrt(expected * (1 - 1 / kinds)) for count in counts.values()]


@pytest.mark.parametrize("pair", list(combinations(EVEN, 2)), ids=" and ".join)
def test_two_steps_have_four_outcomes_alike_often(pair):
    steps = [{name: {**EVEN[name], "p": 0.5}} for name in pair]
    assert max(map(abs, off(outcomes(Augmentation(transforms=steps)), 4))) < 4  # 500 +- 77


def test_the_flips_of_data_files_are_independent():
    assert max(map(abs, off(outcomes(Augmentation(horizontal_flip=True, vertical_flip=True)), 4))) < 4


def test_flips_and_turns_give_each_of_the_eight_symmetries_alike_often():
    assert max(map(abs, off(outcomes(Augmentation(True, True, quarter_turns=True)), 8))) < 4


def test_flips_do_not_follow_from_the_place_of_a_crop():
    counts = outcomes(Augmentation(horizontal_flip=True, vertical_flip=True, crop=(SIDE - 1, SIDE - 1)))
    assert max(map(abs, off(counts, 16))) < 4  # 2 x 2 places, 2 x 2 flips


def test_the_same_seed_gives_the_same_bits_whatever_came_before():
    augmentation = Augmentation(True, True, True, transforms=[{"GaussNoise": {"std_range": [0.1, 0.2], "p": 0.5}}])
    first = [augmentation(FRAME, VALID, seed)[0] for seed in range(20)]
    again = [augmentation(FRAME, VALID, seed)[0] for seed in reversed(range(20))]
    assert all((one == other).all() for one, other in zip(first, reversed(again), strict=True))
