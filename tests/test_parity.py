"""Several processes give what one gives: the same bits in every figure and file, whatever the images in a batch
and the number of threads. Bits are those of one machine."""

import csv
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from program import TINY, Program
from tiny_models import LEARNERS

TIMES = {"seconds", "seconds_per_image", "train_seconds", "fit_seconds", "validation_seconds"}
NOT_OF_THE_RESULT = TIMES | {"peak_memory_mb", "peak_gpu_memory_mb", "command"}
UNEVEN = ["--data.dataset.init_args.test", "7"]  # neither two nor three processes share images evenly
IMAGES = {"train": 16, "validation": 8, "test": 12}
ONE_PICTURE = ["--panels.count=1", "--trajectories.count=1", "--failures.worst=1"]
OTHER = ["--model.init_args.reconstruction.init_args.depths", "[0.3,0.6]"]  # must be calibrated anew


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("processes"))


def judged(program, name, *words, count=1):
    """What a test of the run, by so many processes, leaves behind, without its clocks."""
    words = ["test", "--run_folder", str(program.run(name)), "--trainer.devices", str(count), *words]
    status, said = program(*words, processes=count)
    assert status == 0, said
    folder = max((program.run(name) / "evaluations").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return found(folder)


def found(folder):
    summary = json.loads((folder / "summary.json").read_text())
    tables = {}
    for path in folder.glob("*.csv"):
        with path.open() as file:
            rows = [{name: text for name, text in row.items() if name not in TIMES} for row in csv.DictReader(file)]
        tables[path.name] = rows
    return {key: value for key, value in summary.items() if key not in NOT_OF_THE_RESULT}, tables


@pytest.fixture(scope="module")
def alone(program):
    """What one process finds."""
    status, said = program("train", "--config", "tiny.yaml", "--run", "one", *UNEVEN)
    assert status == 0, said
    return {"same": judged(program, "one"), "other": judged(program, "one", *OTHER)}


@pytest.mark.parametrize(
    ("count", "words"),
    [pytest.param(2, OTHER, id="2-other")]
    + [
        pytest.param(*case, id=name, marks=pytest.mark.soak)
        for name, case in {"2-same": (2, []), "3-same": (3, []), "3-other": (3, OTHER)}.items()
    ],
)
def test_a_checkpoint_is_judged_alike_by_several_processes(program, alone, count, words):
    summary, tables = judged(program, "one", *words, count=count)
    expected, tables_of_one = alone["other" if words else "same"]
    assert len(tables["per_image.csv"]) == 7
    assert ("depths.csv" in tables) == bool(words)
    assert summary == expected
    assert tables == tables_of_one


def test_processes_that_forget_their_calibration_are_refused(program, alone):
    words = [
        "--run_folder",
        str(program.run("one")),
        *OTHER,
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp_fork",
    ]
    status, said = program("test", *words)
    assert status == 1
    assert "--trainer.strategy ddp" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_unknown_images_are_judged_alike_by_several_processes(program, alone, count):
    words = ["predict", "--run_folder", str(program.run("one")), "--trainer.devices", str(count), "--panels.raw", "npy"]
    status, said = program(*words, processes=count)
    assert status == 0, said
    folder = max((program.run("one") / "evaluations").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    with (folder / "predictions.csv").open() as file:
        scores = {row["path"]: row["score"] for row in csv.DictReader(file)}
    assert scores == {row["path"]: row["score"] for row in alone["same"][1]["per_image.csv"]}
    assert len(list((folder / "maps").glob("*.npy"))) == 7


@pytest.mark.parametrize("size", [1, pytest.param(7, marks=pytest.mark.soak)])
def test_the_images_of_a_batch_change_no_bit(program, alone, size):
    assert judged(program, "one", "--data.batch_size", str(size)) == alone["same"]


def test_workers_change_no_bit(program, alone):
    assert judged(program, "one", "--data.loading.num_workers", "2") == alone["same"]


@pytest.mark.soak
def test_a_compiled_network_gives_the_same_but_for_rounding(program, alone):
    _, tables = judged(program, "one", "--acceleration.compile", "true")
    for row, expected in zip(tables["per_image.csv"], alone["same"][1]["per_image.csv"], strict=True):
        assert row["path"] == expected["path"]
        assert float(row["score"]) == pytest.approx(float(expected["score"]), rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def together(program):
    """`together(model, count)` is the name of a run that so many processes have trained."""

    @cache
    def train(model, count):
        name = f"{model}-{count}"
        config = {**TINY, "metrics": {"normals": 8}}  # seen before the first validation
        if model != "tiny":
            config |= {"model": LEARNERS[model], "data": {**TINY["data"], "channels": 3, "image_size": [32, 32]}}
        (program.folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        words = ["--config", f"{name}.yaml", "--experiment", "tiny", "--run", name, "--trainer.devices", str(count)]
        offline = ["--wandb.mode", "offline"] if model == "tiny" else []
        status, said = program("train", *words, *UNEVEN, *offline, processes=count)
        assert status == 0, said
        return name

    return train


SEVERAL = [("tiny", 3), *((learner, 2) for learner in LEARNERS)]


@pytest.mark.parametrize(
    ("model", "count"), [("tiny", 2), *(pytest.param(*case, marks=pytest.mark.soak) for case in SEVERAL)]
)
def test_what_several_processes_have_trained_is_judged_alike_by_one(program, together, model, count):
    name = together(model, count)
    trained, tables = found(program.run(name))
    summary, tables_of_one = judged(program, name)
    assert summary == trained
    assert tables["per_image.csv"] == tables_of_one["per_image.csv"]
    assert tables["failures.csv"] == tables_of_one["failures.csv"]
    if model == "tiny":
        assert len(list((program.run(name) / "wandb").rglob("*.wandb"))) == 1
    assert {folder.name for folder in (program.folder / "runs").iterdir()} == {"tiny"}


def slurm(count):
    """What srun tells each of the processes that it starts."""
    job = {"JOB_ID": 1, "JOB_NAME": "job", "NODELIST": "127.0.0.1", "NNODES": 1, "NODEID": 0, "NTASKS": count}
    for rank in range(count):
        numbers = {**job, "NTASKS_PER_NODE": count, "PROCID": rank, "LOCALID": rank}
        yield {f"SLURM_{name}": str(value) for name, value in numbers.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", ["itself", *(pytest.param(other, marks=pytest.mark.soak) for other in ("torchrun", "slurm"))]
)
def test_the_processes_of_every_launcher_give_the_same(program, together, launcher):
    """Whether torchrun starts them, srun, or the first one the others; in a folder that the first one names."""
    name = together("tiny", 2)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--"]
    start = [*torchrun, "anomaly_diffusion"] if launcher == "torchrun" else ["-m", "anomaly_diffusion"]
    words = ["train", "--config", f"{name}.yaml", "--experiment", launcher, "--trainer.devices", "2", *UNEVEN]
    if launcher == "torchrun":
        words += ["--run", "001"]  # an abbreviation of options of torchrun's own, but for the two dashes
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [
        subprocess.Popen([sys.executable, *start, *words], cwd=program.folder, env=environment | told, **pipes)
        for told in (slurm(2) if launcher == "slurm" else [{}])
    ]
    said = "".join(process.communicate(timeout=240)[0] for process in processes)
    assert [process.returncode for process in processes] == [0] * len(processes), said
    assert said.count("Run folder:") == 1
    (folder,) = (program.folder / "runs" / launcher).iterdir()
    assert found(folder) == found(program.run(name))


@pytest.mark.soak
def test_commands_give_the_same_bits_as_they_are_typed(tmp_path):
    """The demo's network, whose operations are large enough for threads to share them and round otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])

    def typed(*words):
        command = [sys.executable, "-m", "anomaly_diffusion", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = next(line for line in done.stdout.splitlines() if line.startswith("Run folder: "))
        return tmp_path / said.removeprefix("Run folder: ")

    few = (f"--data.dataset.init_args.{use}={count}" for use, count in IMAGES.items())
    steps = ("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--experiment=demo", *ONE_PICTURE)
    run = typed("train", "--config", "model/pixel.yaml", "--config", "demo.yaml", *few, *steps)
    trained, tables = found(run)
    one, two = (found(typed("test", "--run_folder", str(run), "--trainer.devices", count)) for count in "12")
    assert len(tables["per_image.csv"]) == IMAGES["test"]
    assert two == one
    assert (one[0], one[1]["per_image.csv"]) == (trained, tables["per_image.csv"])
