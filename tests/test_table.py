"""`make table`: the main table of the report, from scratch."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from anomaly_diffusion.cli.main import main

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def commands(tmp_path):
    """The words of the commands that it would run."""

    def planned(**variables):
        settings = [f"{name}={value}" for name, value in {"RUNS": tmp_path, **variables}.items()]
        told = subprocess.run(
            ["make", "--dry-run", "table", *settings], cwd=ROOT, capture_output=True, text=True, check=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        ).stdout.replace("\\\n", " ")  # fmt: skip
        lines = [
            line.split(" -m anomaly_diffusion ")[1] for line in told.splitlines() if " -m anomaly_diffusion " in line
        ]
        return [shlex.split(line) for line in lines]

    return planned


def trainings(commands):
    return [words for words in commands if words[0] == "train"]


def test_it_trains_every_model_on_every_set_and_then_reports(commands):
    planned = commands()
    cells = [words[words.index("--experiment") + 1] for words in trainings(planned)]
    assert len(cells) == len(set(cells)) == 18
    assert [words[0] for words in planned[-2:]] == ["compare", "report"]
    assert all(str(cell) in " ".join(planned[-1]) for cell in cells)


def test_seeds_are_multiplied(commands):
    planned = trainings(commands(SEEDS="0 1 2"))
    assert len(planned) == 54
    assert {words[words.index("--seed_everything") + 1] for words in planned} == {"0", "1", "2"}


def test_its_commands_are_understood(commands, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    kinds = {"pixel-ball_screw", "padim-tile"}
    chosen = [words for words in trainings(commands()) if words[words.index("--experiment") + 1] in kinds]
    for words in chosen:
        with pytest.raises(SystemExit) as stop:
            main([*words, "--print_config"])
        assert stop.value.code == 0
    assert "max_steps: 400" in capsys.readouterr().out


def test_a_finished_run_is_not_repeated_and_a_begun_one_goes_on(commands, tmp_path):
    for cell, file in {"pixel-tile": "summary.json", "padim-screw": "config.yaml"}.items():
        (tmp_path / cell / "seed0").mkdir(parents=True)
        (tmp_path / cell / "seed0" / file).touch()
    planned = trainings(commands())
    assert len(planned) == 17
    assert ["train", "--resume", str(tmp_path / "padim-screw/seed0")] in planned
