"""The inspector says what `predict` says, to the bit, of whatever form a photograph comes in."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from commands import unchanged_process
from PIL import Image
from small_run import NARROW, SMALL_RUN

import anomaly_diffusion
from anomaly_diffusion.api import train
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.runs import image_results

SMALL = SMALL_RUN | NARROW | {"data.image_size": [32, 48], "data.loading.policy": "Letterbox"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and photographs of several sizes: three of the texture, one with a white bar."""
    folder = tmp_path_factory.mktemp("inspected")
    with unchanged_process():
        train("model/pixel.yaml", settings=SMALL | {"runs_dir": folder / "runs", "experiment": "small"})
    from skimage import data

    brick = data.brick()
    (folder / "photographs").mkdir()
    for number, (height, width) in enumerate([(64, 64), (50, 80), (120, 40), (64, 64)]):
        pixels = brick[40 * number : 40 * number + height, 90 : 90 + width].copy()
        if number == 3:
            pixels[20:30, 10:50] = 255
        cv2.imwrite(str(folder / f"photographs/{number}.png"), pixels)
    return folder


@pytest.fixture(scope="module")
def inspector(folder):
    return Inspector(folder / "runs/small/001")


@pytest.fixture(scope="module")
def told(folder):
    """What `predict` says, by the name of the file."""
    run = folder / "runs/small/001"
    words = ["--run_folder", str(run), "--data.dataset", "Images", "--data.dataset.root", str(folder / "photographs")]
    with unchanged_process():
        assert main(["predict", *words, "--wandb.mode", "disabled"]) == 0
    return {result.path: result for result in image_results.read(run / "evaluations/001/predictions.csv")}


def test_it_says_what_predict_says(folder, inspector, told):
    assert len(told) == 4
    for name, result in told.items():
        found = inspector(folder / "photographs" / name)
        assert (found.name, found.score) == (name, result.score)
        theirs = result.verdict
        assert replace(found.verdict, regions=()) == replace(theirs, regions=())
        ours = [[round(value, 6) for value in region] for region in found.regions]
        assert ours == [list(region) for region in theirs.regions]  # rounded in the file


def test_every_form_of_a_photograph_is_the_same_photograph(folder, inspector):
    path = folder / "photographs/1.png"
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    forms = [str(path), Image.open(path), grey, rgb, grey.astype(np.uint16) * 257, grey / 255, torch.from_numpy(grey),
             torch.from_numpy(rgb).permute(2, 0, 1) / 255, np.dstack([rgb, np.full_like(grey, 255)])]  # fmt: skip
    expected = inspector(path)
    for found in inspector(forms):
        assert found.score == expected.score
        assert found.regions == expected.regions
        np.testing.assert_array_equal(found.map, expected.map)


def test_map_and_mask_have_the_size_of_the_photograph(folder, inspector):
    for name, size in (("1.png", (50, 80)), ("2.png", (120, 40))):
        found = inspector(folder / "photographs" / name)
        assert found.map.shape == found.mask.shape == found.size == size
        assert np.array_equal(found.mask, found.map > found.pixel_limit)
        assert all(region.x >= 0 and region.x + region.width <= size[1] for region in found.regions)


def test_a_list_gives_a_list_and_an_iterator_a_stream_that_reads_no_further_than_it_must(folder):
    inspector, path = Inspector(folder / "runs/small/001", batch_size=2), folder / "photographs/0.png"
    taken = []

    def line():
        for number in range(5):
            taken.append(number)
            yield path

    stream = inspector(line())
    assert taken == []
    first = next(stream)
    assert taken == [0, 1]
    assert [one.score for one in stream] == [first.score] * 4
    assert [one.score for one in inspector([path] * 3)] == [first.score] * 3


def test_threads_share_it(folder, inspector):
    paths = [folder / f"photographs/{number}.png" for number in range(4)] * 3
    alone = [inspector(path).score for path in paths]
    with ThreadPoolExecutor(4) as pool:
        assert [one.score for one in pool.map(inspector, paths)] == alone


def test_another_rate_of_false_alarms_gives_another_limit(folder, inspector):
    strict, loose = (Inspector(folder / "runs/small/001", false_alarms=rate) for rate in (0.2, 0.5))
    assert strict.limits["limit"] > loose.limits["limit"]
    assert strict.limits["promised"] <= 0.2
    assert inspector.limits["limit"] >= strict.limits["limit"]


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 4, 2), np.uint8), ValueError, "1, 3 or 4 channels, got 2"),
        (np.full((4, 4), 255.0), ValueError, r"\[0, 1\], got \[255, 255\]"),
        (np.full((4, 4), np.nan), ValueError, r"\[0, 1\]"),
        (np.zeros((4, 4), np.int32), ValueError, "uint8, uint16 or floats"),
        (np.zeros(4, np.uint8), ValueError, "H x W"),
        (3, TypeError, "got int"),
        ("nowhere.png", BadImages, "nowhere.png"),
    ],
)
def test_what_is_no_photograph_is_refused(inspector, image, error, words):
    with pytest.raises(error, match=words):
        inspector(image)


def test_a_rate_that_is_none_and_a_run_that_is_none_are_refused(folder):
    with pytest.raises(ValueError, match=r"`false_alarms` must lie in \(0, 1\), got 2"):
        Inspector(folder / "runs/small/001", false_alarms=2.0)
    with pytest.raises(FileNotFoundError):
        Inspector(folder / "runs/other")


def test_it_is_one_of_the_names_of_the_package():
    assert anomaly_diffusion.Inspector is Inspector
