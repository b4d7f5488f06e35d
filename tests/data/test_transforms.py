"""Augmentation draws each step by itself, gives the same bits for the same seed, and refuses what cannot be meant."""

import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.transforms import Augmentation, BadAugmentation

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


def test_steps_within_a_composition_are_chosen_and_drawn_independently():
    either = {"OneOf": {"transforms": [{"Posterize": {"num_bits": 5}}, {"Posterize": {"num_bits": 3}}], "p": 1.0}}
    counts = outcomes(Augmentation(transforms=[either, {"InvertImg": {"p": 0.5}}, {"Transpose": {"p": 0.5}}]))
    assert max(map(abs, off(counts, 8))) < 4


SIZE = (24, 24)
PAD = {"PadIfNeeded": {"min_height": 30, "min_width": 30}}
TYPE, ONE_SIZE = r"\[-1, 1\] itself", "`data.image_size`"
NOT_MEANT = [
    ([{"Normalize": {}}], 3, ["`Normalize`", "float32 pixels from -2", TYPE]),
    ([{"ToFloat": {}}], 1, ["`ToFloat`", "24 x 24 x 1 float32 pixels from 0 to 1", TYPE]),
    ([{"ToTensorV2": {}}], 3, ["`ToTensorV2`", "made 3 x 24 x 24 torch.uint8 pixels", TYPE]),
    ([{"Resize": {"height": 12, "width": 16}}], 3, ["`Resize`", "made 12 x 16 x 3 uint8", ONE_SIZE]),
    ([{"RandomScale": {}}], 3, ["`RandomScale`", "must leave 24 x 24 x 3", ONE_SIZE]),
    ([{"ToGray": {"num_output_channels": 1}}], 3, ["`ToGray`", "made 24 x 24 uint8", "`data.channels`"]),
    ([{"ToRGB": {}}], 1, ["`ToRGB`", "made 24 x 24 x 3", "`data.channels`"]),
    ([{"MaskDropout": {}}], 3, ["`MaskDropout`", "from 0 to 0 of one with all levels"]),
    ([{"InvertImg": {}}, {"Normalize": {"p": 0.001}}, {"Transpose": {}}], 3, ["`Normalize` in"]),
    ([{"GaussNoise": {}}, PAD], 3, ["`PadIfNeeded` in", "made 30 x 30 x 3"]),
    ([{"OneOf": {"transforms": [{"Blur": {}}, {"ToFloat": {}}], "p": 0.01}}], 3, ["`ToFloat` within `OneOf`", TYPE]),
    ([{"Mosaic": {}}], 3, ["`Mosaic`", "cannot be applied: .*mosaic_metadata", "one frame and its valid pixels"]),
    ([{"RandomCrop": {"height": 25, "width": 9}}], 3, ["`RandomCrop`", r"cannot be applied: .*\(25, 9\)"]),
    (
        [{"GaussNoise": {"var_limit": [1, 2]}}],
        3,
        ["`var_limit` is no argument of `GaussNoise`", "std_range"],
    ),
    ([{"HorizontalFlip": {"prob": 1}}], 3, ["`prob` is no argument of `HorizontalFlip`, which takes p"]),
    ([{"OneOf": {"transforms": [{"Blur": {"limit": 3}}]}}], 3, ["`limit` is no argument of `Blur`"]),
    ([{"GaussNoise": {"std_range": [3, 4]}}], 3, [r"`GaussNoise`.*: std_range: All values in \(3.0, 4.0\).* 1\.$"]),
    ([{"RandomCrop": {}}], 3, ["height: Field required; width: Field required"]),
    ([{"BasicTransform": {}}], 3, ["`BasicTransform`"]),
    ([{"Horizontalflip": {}}], 3, ["got Horizontalflip. Did you mean `HorizontalFlip`?"]),
    ([{"np": {}}], 3, ["must name transforms of albumentations, got np"]),
    ([{"OneOf": {"transforms": ["Blur"]}}], 3, [r"`OneOf` must each be {Name: {argument: value}}, got Blur"]),
    ([{"OneOf": {"transforms": [{"Blur": None}]}}], 3, ["`Blur` must be given as {argument: value}, got None"]),
]


@pytest.mark.parametrize(("transforms", "channels", "told"), NOT_MEANT, ids=[str(case[0]) for case in NOT_MEANT])
def test_a_transform_that_cannot_be_meant_is_named_when_settings_are_read(transforms, channels, told):
    flips = Augmentation(True, True, transforms=transforms)
    with pytest.raises(BadAugmentation) as refusal:
        AnomalyDataModule(Textures(), SIZE, channels=channels, augmentation=flips)
    for words in told:
        assert re.search(words, str(refusal.value)), str(refusal.value)
    assert "\n" not in str(refusal.value)


MEANT = [
    [{"ToFloat": {}}, {"FromFloat": {"dtype": "uint8"}}],
    [PAD, {"RandomCrop": {"height": 24, "width": 24}}],
    [{"Sequential": {"transforms": [PAD, {"RandomCrop": {"height": 24, "width": 24}}], "p": 0.5}}],
    [{"RandomResizedCrop": {"size": [24, 24], "scale": [0.5, 1.0]}}],
    [{"Affine": {"rotate": [-10, 10]}}, {"GaussNoise": {}}, {"RandomBrightnessContrast": {}}, {"CoarseDropout": {}}],
    [{"GaussianBlur": {"sigma_limit": [9.0, 9.0]}}],
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transforms", MEANT, ids=str)
def test_whatever_leaves_a_photograph_of_one_size_is_allowed(transforms, channels):
    Augmentation(transforms=transforms).check(SIZE, channels)


def test_crop_and_scales_alone_change_the_size():
    Augmentation(crop=(16, 20), scales=[1.0, 0.5], transforms=[{"GaussNoise": {}}]).check(SIZE)
    with pytest.raises(BadAugmentation, match=r"`Resize` in .* must leave 24 x 24 x 3 .* made 16 x 20 x 3"):
        Augmentation(crop=(16, 20), transforms=[{"Resize": {"height": 16, "width": 20}}]).check(SIZE)
    with pytest.raises(ValueError, match="`crop` must be positive"):
        Augmentation(crop=(0, 20)).check(SIZE)


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        ([], r"`scales` must name at least one, each in \(0, 1\], got \[\]"),
        ([1.0, 2.0], r"`scales` must name at least one, each in \(0, 1\], got \[1.0, 2.0\]"),
        ([1.0, 0.0], r"`scales` must name at least one, each in \(0, 1\]"),
        ([1.0, 0.1], r"`scales` must leave 4 pixels of \(24, 24\), got 0.1"),
    ],
)
def test_scales_that_leave_no_frame_are_refused(scales, told):
    with pytest.raises(ValueError, match=told):
        Augmentation(scales=scales).check(SIZE)


RAMP = np.stack(np.broadcast_arrays(*np.ogrid[:64, :48], 0), axis=-1).astype(np.uint8)  # row and column of each pixel


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("flip", [False, True])
def test_a_part_lies_at_its_place(scale, flip):
    augmentation = Augmentation(horizontal_flip=flip, vertical_flip=flip, crop=(24, 16), scales=[scale])
    seen = [augmentation(RAMP, np.ones((64, 48), bool), seed, scale) for seed in range(40)]
    for image, valid, (top, left, bottom, right) in seen:
        assert image.shape == (min(24, 64 * scale), min(16, 48 * scale), 3)
        assert valid.shape == image.shape[:2]
        for axis, (size, ends) in enumerate([(64, (top, bottom)), (48, (left, right))]):
            told = np.interp(np.arange(image.shape[axis]) + 0.5, [0, image.shape[axis]], ends)
            there = 2 * (image[..., axis].mean(1 - axis) + 0.5) / size - 1
            off = np.minimum(abs(there - told), abs(there + told)) if flip else abs(there - told)
            assert off.max() < 2 / size  # rounding of grey values
    assert len({part.place for part in seen}) > 1 or scale == 0.25
    assert len({part.image.tobytes() for part in seen}) > 3 or (scale == 0.25 and not flip)


def test_a_crop_larger_than_the_frame_leaves_the_frame():
    Augmentation(crop=(100, 10)).check(SIZE)
    image, _, place = Augmentation(crop=(100, 10))(RAMP, np.ones((64, 48), bool), 0)
    assert image.shape == (64, 10, 3)
    assert (place[0], place[2]) == (-1, 1)


def test_smaller_frames_are_means_and_padding_stays_padding():
    valid = np.ones((64, 48), bool)
    valid[:, :8] = False
    image, smaller, place = Augmentation(scales=[0.25])(RAMP, valid, 0, 0.25)
    assert place == (-1, -1, 1, 1)
    assert np.array_equal(smaller, valid[::4, ::4])
    assert np.abs(image[..., :2].astype(float) - RAMP.reshape(16, 4, 12, 4, 3).mean((1, 3))[..., :2]).max() <= 0.5


def test_fine_scales_are_drawn_more_often_than_coarse_ones():
    augmentation = Augmentation(scales=[1.0, 0.25])
    drawn = Counter(augmentation.scale(seed) for seed in range(DRAWS))
    assert abs(drawn[1.0] / DRAWS - 2 / 3) < 4 * np.sqrt(2 / 9 / DRAWS)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_only_a_photograph_brings_to_light_is_told_in_the_same_words(workers, monkeypatch):
    scale = Augmentation(transforms=[{"RandomScale": {"p": 1.0}}])
    monkeypatch.setattr(Augmentation, "check", lambda *_: None)  # a probe that found nothing
    data = AnomalyDataModule(
        Textures(train=8, validation=2), SIZE, augmentation=scale, loading=Loading(num_workers=workers)
    )
    data.setup("fit")
    with pytest.raises(BadAugmentation, match=r"`RandomScale` in `data.augmentation` must leave 24 x 24 x 3"):
        list(data.train_dataloader())
