"""Spoilt files are read, or refused with one message that names them; none ends in another error, or hangs.

The draws are the same in every run. `pytest tests/test_fuzz.py --inputs 10000` tries more.
"""

import io
import random
import signal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from anomaly_diffusion.analysis.run import Run
from anomaly_diffusion.commands import checkpoints, sweep_file
from anomaly_diffusion.data.reading import BadImages, read_mask, read_pixels

SHARES = {"photograph": 0.45, "mask": 0.2, "sweep": 0.15, "checkpoint": 0.12, "summary": 0.08}
SIDE, LONGEST = 12, 20  # pixels of a side; seconds that one input may take


@pytest.fixture
def inputs(request):
    """How many there are in all."""
    return request.config.getoption("--inputs")


@pytest.fixture(autouse=True)
def clock():
    """An input that takes too long is an error."""

    def late(*_):
        raise TimeoutError("an input took too long")

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def images():
    """Small files of every kind that is read, grey and coloured, 8 and 16 bit, with alpha and with a palette."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    found = []
    for kind in (".png", ".jpg", ".bmp", ".tif"):
        for content in (pixels[..., 0], pixels[..., :3]):
            found.append(cv2.imencode(kind, content)[1].tobytes())
    found.append(cv2.imencode(".png", pixels)[1].tobytes())
    found.append(cv2.imencode(".png", pixels[..., 0].astype(np.uint16) * 257)[1].tobytes())
    palette = io.BytesIO()
    Image.fromarray(pixels[..., :3]).quantize(7).save(palette, "PNG")
    return [*found, palette.getvalue()]


def spoilt(dice, content):
    """A file with a few accidents."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data) + 1)
        accident = dice.randrange(6)
        if accident == 0:
            del data[place:]
        elif accident == 1 and place < len(data):
            data[place] ^= 1 << dice.randrange(8)
        elif accident == 2:
            data[place:place] = dice.randbytes(dice.randint(1, 9))
        elif accident == 3:
            del data[place : place + dice.randint(1, 30)]
        elif accident == 4:
            data[place : place + 8] = bytes(8)
        else:
            data[place : place + 4] = dice.choice(
                [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\n- :", b"{[\"'", b"&a*a"]
            )
    return bytes(data)


def attempts(path, seeds, count, read, refusals):
    """Read so many spoilt files; tell how many were refused."""
    dice, refused = random.Random(path.name), 0
    for _ in range(count):
        content = spoilt(dice, dice.choice(seeds))
        path.write_bytes(content)
        signal.alarm(LONGEST)
        try:
            read(path)
        except refusals as error:
            refused += 1
            if path.name not in str(error):
                pytest.fail(f"The message does not name the file: {error}\n{content!r}")
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{content!r}")
    return refused


def test_photographs(tmp_path, inputs):
    def read(path):
        pixels = read_pixels(path)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] in (1, 3)

    count = int(SHARES["photograph"] * inputs)
    assert 0 < attempts(tmp_path / "photograph.png", images(), count, read, BadImages) < count


def test_masks(tmp_path, inputs):
    def read(path):
        mask = read_mask(path, (SIDE, SIDE))
        assert mask.shape == (SIDE, SIDE)
        assert mask.dtype == bool
        assert mask.any()

    count = int(SHARES["mask"] * inputs)
    assert 0 < attempts(tmp_path / "mask.png", images(), count, read, BadImages) < count


def test_sweep_files(tmp_path, inputs):
    shipped = sorted(sweep_file_folder().glob("*.yaml"))
    seeds = [path.read_bytes() for path in shipped]
    count = int(SHARES["sweep"] * inputs)
    refusals = (ValueError, FileNotFoundError)
    assert 0 < attempts(tmp_path / "sweep.yaml", seeds, count, sweep_file.read, refusals) < count


def test_checkpoints(tmp_path, inputs):
    content = io.BytesIO()
    torch.save({"state_dict": {"a": torch.arange(4.0)}, "global_step": 3, "judgement": "x"}, content)
    count = int(SHARES["checkpoint"] * inputs)
    assert attempts(tmp_path / "last.ckpt", [content.getvalue()], count, checkpoints.read, ValueError) > 0.5 * count


def test_results_of_runs(tmp_path, inputs):
    (tmp_path / "rows").mkdir()

    def read(path):
        for row in Run(path.parent).rows(path.name):
            assert isinstance(row, dict)

    content = b"path,score,label\na.png,0.5,0\nb.png,1.5,1\n"
    attempts(tmp_path / "rows" / "per_image.csv", [content], int(SHARES["summary"] * inputs), read, ValueError)


def sweep_file_folder():
    from anomaly_diffusion.commands.arguments import experiments_folder

    return experiments_folder() / "sweeps"
