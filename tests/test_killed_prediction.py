"""Three processes predict, are killed anywhere, and go on: each photograph is judged, told and listed once."""

import csv
import random

import pytest
from program import Program
from trees import write

COUNT = 241  # three processes do not have as many each


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A finished run and photographs."""
    program = Program(tmp_path_factory.mktemp("killed"))
    status, said = program("fit", "--config", "tiny.yaml", "--run", "whole")
    assert status == 0, said
    for number in range(COUNT):
        write(program.folder / f"photographs/{number % 7}/{number:04}.png", number, (16, 16, 3))
    return program


@pytest.fixture(scope="module")
def uninterrupted(program):
    """What one process tells of the photographs."""
    return dict_of(predicted(program, "alone", processes=1))


def predict(program, name, processes=3, kill=None, words=()):
    of_images = ("--data.dataset", "Images", "--data.dataset.init_args.root", "photographs")
    many = ("--run", name, "--data.batch_size", "2", *words)
    return program("predict", "--run_folder", "runs/tiny/whole", *of_images, *many, processes=processes, kill=kill)


def folder(program, name):
    return program.run("whole") / "evaluations" / name


def rows(path):
    whole = path.read_text()
    return list(csv.DictReader(whole[: whole.rfind("\n") + 1].splitlines()))  # but for half a line


def predicted(program, name, **how):
    status, said = predict(program, name, **how)
    assert status == 0, said
    assert not (folder(program, name) / "parts").exists()
    return rows(folder(program, name) / "predictions.csv")


def dict_of(table):
    """By photograph, without the clock; in the order of the table."""
    assert len({row["path"] for row in table}) == len(table) == COUNT
    return {row["path"]: {key: cell for key, cell in row.items() if key != "seconds"} for row in table}


def told(program, name):
    """The whole lines that a kill has left, by photograph: their clocks tell whether they were judged again."""
    table = folder(program, name) / "predictions.csv"  # written before the parts are removed
    places = [table] if table.is_file() else (table.parent / "parts").glob("*.csv")
    found = [row for path in places for row in rows(path) if row["regions"] is not None]
    lines = {row["path"]: row for row in found}
    assert len(lines) == len(found)
    return lines


def test_three_processes_tell_what_one_tells_in_the_same_order(program, uninterrupted):
    table = dict_of(predicted(program, "three"))
    assert table == uninterrupted
    assert list(table) == list(uninterrupted) == sorted(table)


MOMENTS = [("told", 1), ("half told", 1), ("told", 40), ("told", 79)]


@pytest.mark.parametrize(
    ("place", "count"), [("half told", 17), *(pytest.param(*one, marks=pytest.mark.soak) for one in MOMENTS)]
)
def test_a_killed_prediction_goes_on_and_judges_none_twice(program, uninterrupted, place, count):
    name = f"{place}-{count}".replace(" ", "-")
    status, said = predict(program, name, kill=[place, count])
    assert status == -9, said
    before = told(program, name)
    table = predicted(program, name)
    assert dict_of(table) == uninterrupted
    assert {row["path"]: row for row in table if row["path"] in before} == before, "clocks and all"


def test_it_may_be_killed_again_and_again_and_go_on_with_other_numbers_of_processes(program, uninterrupted):
    generator, before = random.Random(COUNT), {}
    for processes in (3, 2, 3, 4):
        status, said = predict(program, "often", processes, kill=["time", generator.uniform(0.5, 3)])
        assert status in (0, -9), said
        if status == 0:
            break
        now = told(program, "often")
        assert before.items() <= now.items()
        before = now
    assert dict_of(predicted(program, "often")) == uninterrupted


def test_the_last_few_are_fewer_than_the_processes(program, uninterrupted):
    first = {"trainer.limit_predict_batches": "40"}  # of two photographs, in each of three processes: 240 of them
    status, said = predict(program, "few", words=[f"--{key}={value}" for key, value in first.items()])
    assert status == 0, said
    assert len(rows(folder(program, "few") / "predictions.csv")) == 240
    table = predicted(program, "few")
    assert dict_of(table) == uninterrupted


def test_the_same_command_after_the_end_says_so_and_judges_nothing(program, uninterrupted):
    predicted(program, "done")
    before = (folder(program, "done") / "predictions.csv").read_bytes()
    status, said = predict(program, "done")
    assert status == 0, said
    assert f"{COUNT} photographs are judged already, 0 are left." in said
    assert (folder(program, "done") / "predictions.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--verdicts.false_alarms", "0.2"], "verdicts.false_alarms 0.2 instead of None"),
        (["--data.dataset.init_args.root", "others"], "data.dataset.init_args.root others instead of photographs"),
        (["--ckpt_path", "last"], "begun by other weights"),
    ],
)
def test_it_does_not_go_on_by_other_settings_or_weights(program, words, refused):
    for number in range(4):
        write(program.folder / f"others/{number:04}.png", number, (16, 16, 3))
    if not (folder(program, "mine") / "parts").exists():
        assert predict(program, "mine", kill=["told", 5])[0] == -9
    before = told(program, "mine")
    status, said = predict(program, "mine", words=words)
    assert status == 1
    assert refused in said
    assert "Choose another --run." in said
    assert told(program, "mine") == before


def test_a_bad_photograph_in_the_share_of_another_process_is_told_by_name_to_all(program):
    bad = write(program.folder / "photographs/9/torn.png", 1, (16, 16, 3))
    bad.write_bytes(bad.read_bytes()[:60])
    try:
        status, said = predict(program, "bad")
    finally:
        bad.unlink()
    assert status == 1
    assert said.count("photographs/9/torn.png: is corrupt or no image") >= 1
    assert not folder(program, "bad").exists()


def test_a_test_by_three_processes_lists_each_photograph_once(program):
    words = ("--run_folder", "runs/tiny/whole", "--data.dataset.init_args.test", "14")
    tables = []
    for processes in (1, 3):
        name = f"test-{processes}"
        many = ("--run", name, "--trainer.devices", str(processes), "--data.batch_size", "2")
        status, said = program("test", *words, *many, processes=processes)
        assert status == 0, said
        table = rows(folder(program, name) / "per_image.csv")
        tables.append([{key: cell for key, cell in row.items() if key != "seconds"} for row in table])
    assert tables[0] == tables[1]
    assert len(tables[0]) == 14
    status, said = program("test", *words, "--run", "test-1")
    assert status == 1, "it is finished"
    assert "exists already. Choose another --run." in said
