"""With tiles photographs keep their resolution: frames of their own size, crops of the tiles' size to train on."""

import numpy as np
import pytest
import torch
from trees import write

from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.framing import Letterbox, to_original
from anomaly_diffusion.data.layouts.folder import Folder
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.tiles import Native, Tiles
from anomaly_diffusion.data.transforms import Augmentation

SIZES = [(40, 90), (70, 50), (33, 100), (20, 24)] * 3
TILES = Tiles((32, 32), 16)


@pytest.fixture
def folder(tmp_path):
    for number, size in enumerate(SIZES):
        write(tmp_path / f"good/{number:03}.png", number, size)
    return tmp_path


def ready(folder, **settings):
    data = AnomalyDataModule(Folder(folder), batch_size=4, channels=1, tiles=TILES, **settings)
    data.setup("fit")
    return data


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"size": (30, 32)}, "multiples of 16"), ({"overlap": 8}, "multiple of 16 below"), ({"overlap": 512}, "below the"),
     ({"scale": 0.0}, r"lie in \(0, 1\]"), ({"scale": 2.0}, r"lie in \(0, 1\]"),
     ({"frame": (0, 9)}, "must be positive, or null"), ({"frame": (64, 64), "scale": 0.5}, "must be 1 with a `frame`")],
)  # fmt: skip
def test_numbers_outside_their_range_are_named(wrong, told):
    with pytest.raises(ValueError, match=told):
        Tiles(**wrong)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("size", [(32, 32), (40, 90), (20, 24), (65, 129)])
def test_a_frame_shows_all_of_the_photograph_at_its_scale(size, scale):
    tiles, pixels = Tiles((32, 32), 16, scale), np.random.default_rng(0).integers(0, 256, (*size, 1), dtype=np.uint8)
    frame = tiles.frame_of(size)
    assert all(side >= 32 and side % 16 == 0 for side in frame)
    placement = Native(scale).place(size, frame)
    assert placement.valid().sum() == round(scale * size[0]) * round(scale * size[1])
    shown = placement.image(pixels)[placement.target.slices]
    if scale == 1:
        np.testing.assert_array_equal(shown, pixels)
        back = to_original(torch.from_numpy(placement.image(pixels)[None, ..., 0].astype(np.float32)), size, Native())
        np.testing.assert_array_equal(back[0].numpy(), pixels[..., 0])


@pytest.mark.parametrize("cache_mb", [0, 2048])
def test_judging_sees_photographs_of_their_own_size_one_by_one(folder, cache_mb):
    data = ready(folder, loading=Loading(cache_mb=cache_mb))
    for loader in (data.val_dataloader(), data.whole_dataloader()):
        for batch in loader:
            size = tuple(batch.size[0].tolist())
            assert tuple(batch.image.shape) == (1, 1, *TILES.frame_of(size))
            assert int(batch.valid.sum()) == size[0] * size[1]
            assert batch.tiles == TILES.tiling
            assert batch.place is None


@pytest.mark.parametrize("cache_mb", [0, 2048])
def test_training_sees_crops_of_the_photographs_own_pixels(folder, cache_mb):
    data = ready(folder, loading=Loading(cache_mb=cache_mb))
    whole = {batch.path[0]: batch.image[0] for batch in data.whole_dataloader()}
    for batch in data.train_dataloader():
        assert tuple(batch.image.shape[1:]) == (1, 32, 32)
        assert batch.tiles is None
        for path, crop, place in zip(batch.path, batch.image, batch.place, strict=True):
            sides = torch.tensor(whole[path].shape[1:] * 2)
            top, left, bottom, right = ((place + 1) / 2 * sides).round().int().tolist()
            assert torch.equal(crop, whole[path][:, top:bottom, left:right])


def test_a_crop_that_is_asked_for_counts(folder):
    data = ready(folder, augmentation=Augmentation(crop=(24, 16)))
    assert next(iter(data.train_dataloader())).image.shape[-2:] == (24, 16)


def test_photographs_of_the_tiles_size_are_the_frames_that_they_are_without():
    def of(**settings):
        data = AnomalyDataModule(Textures("brick", train=8, validation=4, crop=64), (64, 64), 4, 1, **settings)
        data.setup("fit")
        return {path: batch.image[at] for batch in data.val_dataloader() for at, path in enumerate(batch.path)}

    plain, tiled = of(), of(tiles=Tiles((64, 64), 16))
    assert plain.keys() == tiled.keys()
    assert all(torch.equal(image, tiled[path]) for path, image in plain.items())


def test_photographs_that_are_to_have_positions_in_common_are_stretched_to_one_frame():
    tiles = Tiles((32, 32), 16, frame=(60, 80))
    assert {tiles.frame_of(size) for size in SIZES} == {(64, 80)}
    assert tiles.placing().place((40, 50), (64, 80)).valid().all()


def test_a_policy_beside_tiles_is_refused(folder):
    with pytest.raises(ValueError, match=r"`loading.policy` must be null with `tiles`"):
        ready(folder, loading=Loading(policy=Letterbox()))
