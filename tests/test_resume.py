"""Killed anywhere and resumed, a run ends as the uninterrupted one: the same bits, figures and W&B run.

One kill and one spoilt file are tried each time; all the others in a soak.
"""

import csv
import json
import random
import struct
import zipfile
from functools import cache

import pytest
import torch
from program import Program
from trees import write

TIMES = {"seconds", "seconds_per_image", "train_seconds", "fit_seconds", "validation_seconds"}
NOT_OF_THE_RESULT = TIMES | {"peak_memory_mb", "peak_gpu_memory_mb", "command"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def whole(program):
    """`whole(verb)` is the result of the uninterrupted run, after `fit` or after `train`."""

    @cache
    def run(verb):
        status, said = program(verb, "--config", "tiny.yaml", "--run", f"whole-{verb}")
        assert status == 0, said
        return result(program.run(f"whole-{verb}"))

    return run


@pytest.fixture(scope="module")
def two_processes(program):
    """The results of the uninterrupted fit by two processes."""
    words = ["--config", "tiny.yaml", "--run", "whole-two", "--trainer.devices", "2"]
    status, said = program("fit", *words, processes=2)
    assert status == 0, said
    return result(program.run("whole-two"))


def plain(value, folder):
    """Without clocks, and with the run's own folder called RUN."""
    if isinstance(value, dict):
        return {plain(key, folder): plain(item, folder) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list | tuple):
        return [plain(item, folder) for item in value]
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.numpy().tobytes()
    return value.replace(str(folder), "RUN") if isinstance(value, str) else value


def table(path):
    with path.open() as file:
        return [{name: text for name, text in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def result(folder):
    """Everything that a run leaves behind, but for its clocks."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".ckpt":
            found[name] = plain(torch.load(path, weights_only=True), folder)
        elif path.suffix == ".csv":
            found[name] = table(path)
        elif name == "summary.json":
            summary = json.loads(path.read_text())
            found[name] = {key: value for key, value in summary.items() if key not in NOT_OF_THE_RESULT}
        elif path.suffix == ".json":
            found[name] = path.read_bytes()
    return found


def differences(first, second):
    """The names of files in which two results differ."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def killed(program, verb, name, place, count, *words):
    status, said = program(verb, "--config", "tiny.yaml", "--run", name, *words, kill=[place, count])
    assert status == -9, said


def resumed(program, verb, name):
    status, said = program(verb, "--resume", f"runs/tiny/{name}")
    assert status == 0, said
    return said


EVALUATED = {"per_image.csv", "summary.json"}


@pytest.mark.parametrize(("verb", "rows"), [("fit", 18), pytest.param("train", 19, marks=pytest.mark.soak)])
def test_the_uninterrupted_run_leaves_what_is_compared(whole, verb, rows):
    expected = {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "metrics.csv"}
    assert expected | (EVALUATED if verb == "train" else set()) <= whole(verb).keys()
    assert len(whole(verb)["metrics.csv"]) == rows, "14 steps, 4 validations, 1 test"
    assert whole(verb)["checkpoints/last.ckpt"]["global_step"] == 14


KILLS = [
    ("step", 5),  # in the first epoch
    ("moved", 3),  # best newer than last
    ("step", 2),  # before the first checkpoint
    ("step", 11),  # in the second epoch
    ("step", 13),  # after the last checkpoint
    ("half", 1),  # the first checkpoint of all
    ("written", 3),
    ("rows", 9),
]


@pytest.mark.parametrize(
    ("place", "count"),
    [("half", 4), *(pytest.param(*kill, marks=pytest.mark.soak) for kill in KILLS)],  # last.ckpt half written
)
def test_a_run_killed_anywhere_and_resumed_ends_as_the_uninterrupted_one(program, whole, place, count):
    name = f"{place}{count}"
    killed(program, "fit", name, place, count)
    resumed(program, "fit", name)
    assert differences(result(program.run(name)), whole("fit")) == []
    assert list(program.run(name).rglob("*.unfinished")) == []


def test_a_run_by_folds_killed_and_resumed_ends_as_the_uninterrupted_one(program):
    for number in range(8):
        write(program.folder / f"few/train/good/{number}.png", number, (16, 16, 3))
    words = [
        "--data.dataset",
        json.dumps({"class_path": "MVTecAD", "init_args": {"root": str(program.folder / "few")}}),
    ]
    status, said = program("fit", "--config", "tiny.yaml", "--run", "folds", *words)
    assert status == 0, said
    killed(program, "fit", "killed-folds", "half", 4, *words)
    resumed(program, "fit", "killed-folds")
    assert any(
        name.startswith("folds.") for name in result(program.run("folds"))["checkpoints/last.ckpt"]["state_dict"]
    )
    assert differences(result(program.run("killed-folds")), result(program.run("folds"))) == []


@pytest.mark.soak
def test_a_run_killed_in_its_test_and_resumed_ends_as_the_uninterrupted_one_and_is_the_same_run_of_wandb(
    program, whole
):
    killed(program, "train", "tested", "test", 2, "--wandb.mode", "offline")
    identity = (program.run("tested") / "wandb/run_id").read_text()
    resumed(program, "train", "tested")
    assert differences(without_wandb(result(program.run("tested"))), whole("train")) == []
    assert (program.run("tested") / "wandb/run_id").read_text() == identity
    logs = [path.stem for path in program.run("tested").glob("wandb/*run-*/*.wandb")]
    assert logs == [f"run-{identity}"] * 2


@pytest.mark.soak
@pytest.mark.parametrize("place", [("step", 5), ("half", 3)])
def test_two_processes_killed_and_resumed_end_as_the_uninterrupted_ones(program, two_processes, place):
    name = f"two-{place[0]}"
    words = ["--config", "tiny.yaml", "--run", name, "--trainer.devices", "2"]
    status, said = program("fit", *words, kill=place, processes=2)
    assert status == -9, said
    status, said = program("fit", "--resume", f"runs/tiny/{name}", "--trainer.devices", "2", processes=2)
    assert status == 0, said
    assert differences(result(program.run(name)), two_processes) == []


@pytest.mark.soak
def test_a_run_killed_twice_ends_as_the_uninterrupted_one(program, whole):
    killed(program, "fit", "twice", "step", 6)
    status, said = program("fit", "--resume", "runs/tiny/twice", kill=["step", 5])
    assert status == -9, said
    resumed(program, "fit", "twice")
    assert differences(result(program.run("twice")), whole("fit")) == []


def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda record: record.file_size)
    content = bytearray(path.read_bytes())
    lengths = struct.unpack_from("<HH", content, largest.header_offset + 26)  # of its name and its extra field
    content[largest.header_offset + 30 + sum(lengths) + largest.file_size // 2] ^= 1  # padding has no checksum
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [flipped, pytest.param(torn, marks=pytest.mark.soak)])
def test_a_spoilt_checkpoint_is_found_and_the_one_before_it_is_used(program, whole, harm):
    name = harm.__name__
    killed(program, "fit", name, "step", 10)
    harm(program.run(name) / "checkpoints/last.ckpt")
    said = resumed(program, "fit", name)
    warned = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 1
    assert f"{name}/checkpoints/last.ckpt cannot be used" in warned[0]
    assert "Going on from runs/tiny/" in said
    assert "previous.ckpt" in said
    assert differences(result(program.run(name)), whole("fit")) == []


@pytest.mark.soak
def test_a_run_without_any_whole_checkpoint_is_refused(program):
    killed(program, "fit", "none", "step", 10)
    for path in program.run("none").glob("checkpoints/*.ckpt"):
        torn(path)
    status, said = program("fit", "--resume", "runs/tiny/none")
    assert status == 1
    assert "error: No checkpoint of runs/tiny/none is whole" in said
    assert "Traceback" not in said


def without_wandb(found):
    return {name: content for name, content in found.items() if not name.startswith("wandb/")}


@pytest.mark.soak
def test_runs_killed_at_random_moments_end_as_the_uninterrupted_one(program, whole):
    """The kill comes from outside, at any instruction; runs are killed and resumed until they end."""
    draw, kills = random.Random(0), 0
    for number in range(12):
        name = f"random{number}"
        words = ["--config", "tiny.yaml", "--run", name]
        while True:
            kill = ["time", draw.uniform(0.5, 6.0)]
            status, said = program("train", *words, kill=kill)
            if status == 0:
                break
            assert status == -9, said
            kills += 1
            if (program.run(name) / "config.yaml").is_file():
                words = ["--resume", f"runs/tiny/{name}"]
            elif program.run(name).exists():
                program.run(name).rmdir()  # nothing was begun
        assert differences(result(program.run(name)), whole("train")) == [], name
    print(f"{kills} kills survived")
