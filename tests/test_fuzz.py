"""Spoilt files are read, or refused with one message that names them; none ends in another error, or hangs.

The draws are the same in every run. `pytest tests/test_fuzz.py --inputs 10000` tries more.
"""

import io
import json
import random
import signal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.cli.sweeping import sweep_file
from anomaly_diffusion.data.reading.photographs import BadImages, read_mask, read_pixels
from anomaly_diffusion.engine import checkpoints
from anomaly_diffusion.runs.record import Run

SHARES = {
    "photograph": 0.43,
    "mask": 0.2,
    "sweep": 0.15,
    "checkpoint": 0.12,
    "summary": 0.04,
    "runs": 0.04,
    "config": 0.02,
}
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


def spoilt_once(dice, content):
    """Mostly readable still: one accident, and often one that keeps the syntax."""
    words = content.split()
    if dice.random() < 0.6 and words:
        return content.replace(
            dice.choice(words), dice.choice([b"-1", b"nan", b"[]", b"{}", b"null", b"''", b"1e999"]), 1
        )
    return spoilt(dice, content)


def ended(words, capsys, content):
    """Carry out a command line; it may fail with a message."""
    signal.alarm(LONGEST)
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code or 0
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\n{content!r}")
    told = capsys.readouterr().err
    assert status in (0, 1, 2)
    refusal = [line for line in told.splitlines() if " overrules " not in line]  # notes stand before it
    assert not status or (refusal and refusal[0].startswith("error")), f"{told}\n{content!r}"
    return status


@pytest.mark.filterwarnings("ignore")
def test_tables_that_are_compared(tmp_path, inputs, capsys):
    dice, statuses = random.Random("runs"), []
    summary = json.dumps({"image_auroc": 0.5, "pixel_ap": 0.4, "train_seconds": 9.0, "controls": {"blurred_self": {}}})
    whole = {
        "config.yaml": b"seed_everything: 0\nmodel: {init_args: {noise: GaussianNoise}}\ndata: {image_size: [8, 8]}\n",
        "summary.json": summary.encode(),
        "per_image.csv": b"path,label,kind,score\na,0,good,0.5\nb,1,dent,1.5\nc,1,dent,0.2\n",
    }
    for run in ("one", "two"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        for name, content in whole.items():
            (tmp_path / "runs" / run / name).write_bytes(content)
    for _ in range(int(SHARES["runs"] * inputs)):
        name = dice.choice(list(whole))
        content = spoilt_once(dice, whole[name])
        path = tmp_path / "runs" / "two" / name
        path.write_bytes(content)
        words = ["compare", *(str(tmp_path / "runs" / run) for run in ("one", "two"))]
        statuses.append(ended([*words, *dice.choice([[], ["--group-by", "data.image_size"]])], capsys, content))
        path.write_bytes(whole[name])
    assert 0 in statuses
    assert 1 in statuses


@pytest.mark.filterwarnings("ignore")
def test_configurations(tmp_path, inputs, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = [path.read_bytes() for path in sorted((experiments_folder() / "model").glob("pixel.yaml"))]
    shipped += [path.read_bytes() for path in sorted((experiments_folder() / "data").glob("t*.yaml"))]
    dice, path, statuses = random.Random("config"), tmp_path / "config.yaml", []
    for _ in range(int(SHARES["config"] * inputs)):
        content = spoilt_once(dice, dice.choice(shipped))
        path.write_bytes(content)
        words = ["fit", "--config", str(experiments_folder() / "model/pixel.yaml"), "--config", str(path)]
        statuses.append(ended([*words, "--print_config"], capsys, content))
    assert 0 in statuses
    assert {1, 2} & set(statuses)
    assert not (tmp_path / "runs").exists()


def sweep_file_folder():
    return experiments_folder() / "sweeps"
