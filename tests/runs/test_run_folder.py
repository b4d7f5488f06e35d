import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anomaly_diffusion.runs import run_folder


def test_runs_that_start_together_get_different_folders(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: run_folder.claim(tmp_path / "pixel"), range(64)))
    assert sorted(folder.name for folder in folders) == [f"{number:03d}" for number in range(1, 65)]


def test_numbers_go_on_after_a_gap_so_that_order_is_age(tmp_path):
    (tmp_path / "007").mkdir()
    (tmp_path / "named").mkdir()
    assert run_folder.claim(tmp_path).name == "008"


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".."])
def test_a_name_cannot_leave_its_experiment(tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        run_folder.claim(tmp_path, name)


def test_last_is_the_run_with_the_newest_checkpoint(tmp_path):
    for age, name in enumerate(["new", "old"]):
        checkpoint = tmp_path / "pixel" / name / run_folder.LAST
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        os.utime(checkpoint, (1000 - age, 1000 - age))
    assert run_folder.find("last", tmp_path) == tmp_path / "pixel" / "new"


def test_an_unknown_run_is_answered_with_those_there_are(tmp_path):
    folder = run_folder.claim(tmp_path / "pixel")
    (folder / run_folder.CONFIG).touch()
    with pytest.raises(FileNotFoundError, match="pixel/001"):
        run_folder.find("002", tmp_path)
    assert run_folder.find("pixel/001", tmp_path) == run_folder.find(str(folder), Path("elsewhere")) == folder


def test_an_evaluation_is_named_after_what_it_changes_and_counted_by_itself(tmp_path):
    run = tmp_path / "pixel-tile" / "seed1"
    run.mkdir(parents=True)
    folders = [run_folder.claim_evaluation(run, name) for name in ("guided", "", "guided", "guided-screw")]
    assert [folder.name for folder in folders] == ["guided-001", "001", "guided-002", "guided-screw-001"]
    told = [run_folder.evaluation_of(folder) for folder in folders]
    assert told == [(run, name) for name in ("guided", "", "guided", "guided-screw")]
    assert run_folder.evaluation_of(run) is None
