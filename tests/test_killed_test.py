"""Three processes test, are killed anywhere, and go on: the same figures, files and pictures, and none judged twice."""

import csv
import json
import random
import shutil

import pytest
from program import Program

COUNT = 61  # three processes do not have as many each
CLOCKS = ("seconds", "seconds_per_image", "command", "created", "memory", "peak_memory_mb", "run")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A finished run."""
    program = Program(tmp_path_factory.mktemp("killed"))
    status, said = program("fit", "--config", "tiny.yaml", "--run", "whole", "--data.dataset.init_args.crop", "64")
    assert status == 0, said
    return program


@pytest.fixture(scope="module")
def uninterrupted(program):
    """What three processes find."""
    return found(program, "three")


def judged(program, name, processes=3, kill=None, words=()):
    of_test = ("--run_folder", "runs/tiny/whole", "--data.dataset.init_args.test", str(COUNT), "--run", name)
    many = ("--trainer.devices", str(processes), "--data.batch_size", "4", *words)
    return program("test", *of_test, *many, processes=processes, kill=kill)


def folder(program, name):
    return program.run("whole") / "evaluations" / name


def kept(program, name):
    """The verdicts that a kill has left, and when they were written: whatever is judged again is written again."""
    return {path.name: path.stat().st_mtime_ns for path in (folder(program, name) / "parts" / "verdicts").glob("*.pt")}


def found(program, name, **how):
    """The table without the clock, all figures, and all other files."""
    status, said = judged(program, name, **how)
    assert status == 0, said
    assert not (folder(program, name) / "parts").exists()
    assert "unfinished" not in str(list(folder(program, name).rglob("*")))
    table = list(csv.DictReader((folder(program, name) / "per_image.csv").read_text().splitlines()))
    assert len({row["path"] for row in table}) == len(table) == COUNT
    summary = json.loads((folder(program, name) / "summary.json").read_text())
    pictures = {
        path.relative_to(folder(program, name)).as_posix(): path.read_bytes()
        for place in ("panels", "tiles", "failures")
        for path in (folder(program, name) / place).rglob("*.png")
    }
    assert len(pictures) > 5
    return (
        [{key: cell for key, cell in row.items() if key != "seconds"} for row in table],
        {key: value for key, value in summary.items() if key in uninterrupted_figures(summary)},
        pictures,
    )


def uninterrupted_figures(summary):
    """What no clock, number of processes or name of a folder changes."""
    names = (
        "image_auroc",
        "image_ap",
        "pixel_auroc",
        "pixel_ap",
        "aupro",
        "pixel_f1max",
        "nfe",
        "fidelity",
        "verdicts",
    )
    known = {key for key in summary if key.startswith(names) or key in ("controls", "beaten_by", "copying", "pixels")}
    assert {"image_auroc", "pixel_ap", "nfe", "verdicts"} <= known
    return known


@pytest.mark.parametrize(
    ("place", "count"),
    [("kept", 9), *(pytest.param(*one, marks=pytest.mark.soak) for one in [("kept", 1), ("kept", 20), ("test", 3)])],
)
def test_a_killed_test_goes_on_and_judges_none_twice(program, uninterrupted, place, count):
    name = f"{place}-{count}"
    status, said = judged(program, name, kill=[place, count])
    assert status == -9, said
    before = kept(program, name)
    assert before
    status, said = judged(program, name, kill=["kept", 2])  # again, and sooner
    assert status == -9, said
    assert f"{len(before)} photographs are judged already." in said
    now = kept(program, name)
    assert before.items() < now.items()
    assert found(program, name) == uninterrupted


def test_it_may_be_killed_again_and_again_and_go_on_with_other_numbers_of_processes(program, uninterrupted):
    generator, before = random.Random(COUNT), {}
    for processes in (3, 2, 1):
        status, said = judged(program, "often", processes, kill=["kept", generator.randint(2, 6)])
        assert status == -9, said
        now = kept(program, "often")
        assert before.items() < now.items()
        before = now
    assert found(program, "often") == uninterrupted


def test_one_process_finds_the_same_and_a_finished_test_is_refused_in_a_sentence(program, uninterrupted):
    assert found(program, "alone", processes=1)[:2] == uninterrupted[:2]  # of pictures the first shows those it saw
    status, said = judged(program, "alone", processes=1)
    assert status == 1
    assert "The evaluation runs/tiny/whole/evaluations/alone exists already. Choose another --run." in said


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--model.scoring.smoothing", "3"], "smoothing 3"),
        (["--data.validation.severity", "0.5"], "data.validation.severity 0.5"),
        (["--ckpt_path", "last"], "begun by other weights"),
    ],
)
def test_it_does_not_go_on_by_other_settings_or_weights(program, words, refused):
    if not folder(program, "mine").exists():
        assert judged(program, "mine", 1, kill=["kept", 5])[0] == -9
    before = kept(program, "mine")
    status, said = judged(program, "mine", 1, words=words)
    assert status == 1
    assert refused in said
    assert "Choose another --run." in said
    assert kept(program, "mine") == before


def test_a_test_that_was_killed_before_its_first_verdict_begins(program, uninterrupted):
    assert judged(program, "early", 1, kill=["test", 1])[0] == -9
    assert not kept(program, "early")
    assert found(program, "early") == uninterrupted
    shutil.rmtree(folder(program, "early"))
