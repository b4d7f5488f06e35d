"""`make table`: the main table of the report, from scratch."""

import contextlib
import re
from pathlib import Path

import pytest

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.sweeping import sweep_file

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "experiments" / "sweeps").glob("table_*.yaml"))


def test_its_sweeps_train_every_model_on_every_set_with_three_seeds():
    trials = [trial for path in SWEEPS for trial in sweep_file.read(path).trials()]
    cells = [trial.experiment for trial in trials]
    assert {cell: cells.count(cell) for cell in cells} == dict.fromkeys(set(cells), 3)
    assert len(set(cells)) == 18
    assert {trial.run for trial in trials} == {"seed0", "seed1", "seed2"}
    assert "pixel-ball_screw" in cells


def test_one_seed_of_each_comes_first():
    for path in SWEEPS:
        sweep = sweep_file.read(path)
        cells = {trial.experiment for trial in sweep.trials()}
        assert {trial.run for trial in sweep.trials(len(cells))} == {"seed0"}


def test_make_knows_all_of_them():
    named = re.search(r"for part in (.*?);", (ROOT / "Makefile").read_text())
    assert {f"table_{part}" for part in named[1].split()} == {path.stem for path in SWEEPS}


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_its_commands_are_understood(path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    sweep = sweep_file.read(path)
    with contextlib.suppress(SystemExit):
        main([*sweep.words(sweep.trials(1)[0]), "--print_config"])
    told = capsys.readouterr()
    assert "seed_everything: 0" in told.out, told.err
    assert f"max_steps: {2000 if path.stem == 'table_pixel' else 700}" in told.out  # base.yaml, or feature.yaml
    assert ("- 104\n" in told.out) == (path.stem == "table_wide")
