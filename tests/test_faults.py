"""What goes wrong outside of the program ends it with one message, and nothing that was finished is lost."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from program import Program

STOPPED = 5  # training steps; a checkpoint has been written after the fourth
ON_LINUX = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    program = Program(tmp_path_factory.mktemp("faults"))
    random = np.random.default_rng(0)
    for use, count in {"good": 24, "scratched": 4}.items():
        folder = program.folder / "photographs" / use
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return program


@pytest.fixture
def broken(program, request):
    """Train, let something go wrong, and return the run folder and the last words."""
    name = request.node.name.replace("[", "-").rstrip("]")

    def train(*words, kill=None, status=1):
        found, said = program("train", "--config", "tiny.yaml", "--run", name, *words, kill=kill)
        assert found == status, said
        assert "Traceback" not in said
        return program.run(name), said

    yield train
    shutil.rmtree(program.run(name), ignore_errors=True)


def one_message(said):
    """The line that begins with `error`, of which there is one."""
    lines = [line for line in said.splitlines() if line.startswith("error")]
    assert len(lines) == 1, said
    return lines[0]


def whole(folder, *names):
    for name in names:
        assert torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    assert not list((folder / "checkpoints").glob(".*"))
    assert (folder / "metrics.csv").read_text().count("\n") >= 2
    assert (folder / "config.yaml").is_file()


PHOTOGRAPHS = (
    "--data.dataset={class_path: Folder, init_args: {root: photographs}}",
    "--data.loading.cache_mb=0",
)


def test_a_full_disk(broken):
    folder, said = broken(kill=("disk", STOPPED))
    assert "File too large" in one_message(said)
    whole(folder, "best", "last")


def test_a_run_folder_that_cannot_be_written(program):
    place = Path("/sys/kernel")
    if not place.is_dir():
        pytest.skip("needs /sys, where nobody can write")
    status, said = program("train", "--config", "tiny.yaml", "--runs_dir", str(place))
    assert status == 1
    assert str(place) in one_message(said)
    assert "Traceback" not in said


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_an_image_that_is_torn_while_training(program, broken, workers):
    torn = [program.folder / "photographs/good" / f"{number:02}.png" for number in range(24)]
    kept = [path.read_bytes() for path in torn]
    try:
        folder, said = broken(*PHOTOGRAPHS, f"--data.loading.num_workers={workers}", kill=("torn", STOPPED))
    finally:
        for path, content in zip(torn, kept, strict=True):
            path.write_bytes(content)
    assert "unusable" in one_message(said)
    assert "photographs/good/" in said or "good/" in said
    whole(folder, "best", "last")


@ON_LINUX
def test_a_worker_that_is_killed(broken):
    folder, said = broken(*PHOTOGRAPHS, "--data.loading.num_workers=1", kill=("worker", STOPPED))
    assert "process that loads images" in one_message(said)
    assert "num_workers" in said
    whole(folder, "best", "last")


def test_a_loss_that_is_no_number(broken):
    folder, said = broken("--optimizer.class_path=SGD", "--optimizer.init_args.lr=1e38", "--ema.decay=0")
    message = one_message(said)
    assert "no finite number from step" in message
    assert "optimizer.init_args.lr" in message
    assert not (folder / "checkpoints").exists() or not list((folder / "checkpoints").glob("*.ckpt"))


@pytest.mark.soak
def test_no_way_to_wandb(broken, program):
    _, said = broken("--wandb.mode=online", kill=("offline", 0))
    assert "--wandb.mode offline" in one_message(said)


@pytest.mark.soak
def test_ctrl_c(broken):
    folder, said = broken(kill=("ctrl-c", STOPPED), status=130)
    assert "--resume" in said
    whole(folder, "best", "last")


@ON_LINUX
def test_a_batch_that_does_not_fit_into_memory(broken):
    large = "--data.image_size=[256,256]", "--data.batch_size=12", "--model.init_args.backbone.init_args.width=64"
    _, said = broken(*large, kill=("memory", 900))
    message = one_message(said)
    assert "Memory is full" in message
    assert "accumulate_grad_batches" in said
