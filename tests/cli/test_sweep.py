"""Laws of sweeps: what a file asks for, and that nothing is done twice or lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import yaml

import anomaly_diffusion as ad
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.sweeping import sweep_file

ROOT = Path(__file__).parents[2]
COMMAND = ["${env}", "anomaly-diffusion", "train", "--config", "a.yaml", "${args}"]
GRID = {
    "method": "grid",
    "metric": {"name": "val/pixel_ap", "goal": "maximize"},
    "command": COMMAND,
    "parameters": {"model.width": {"values": [1, 2]}, "seed_everything": {"values": [0, 1]}},
}
# stands for training: leaves a checkpoint, waits while told to, leaves results; each start is a line of `starts`
PROGRAM = """
import json, pathlib, sys, time
words = sys.argv[1:]
if "--resume" in words:
    folder = pathlib.Path(words[words.index("--resume") + 1])
else:
    has = dict(zip(words, words[1:]))
    folder = pathlib.Path(has["--runs_dir"], has["--experiment"], has["--run"])
    (folder / "checkpoints").mkdir(parents=True)
with open("starts", "a") as file:
    print(folder.parent.name, folder.name, "again" if "--resume" in words else "fresh", file=file)
if pathlib.Path("broken").exists() and folder.name == "seed1":
    sys.exit("error: it broke")
while pathlib.Path("wait").exists() and folder.name == "seed1":
    (folder / "checkpoints" / "last.ckpt").touch()
    time.sleep(0.02)
width = float(folder.parent.name[-1])
(folder / "summary.json").write_text(json.dumps({"validation": {"pixel_ap": width}, "pixel_ap": -width}))
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """`sweep(...)` is the command line on a file with a stand-in for training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    package = Path("anomaly_diffusion")  # found before the real one by `python -m`
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    Path("widths.yaml").write_text(yaml.safe_dump(GRID))
    return lambda *arguments: main(["sweep", "widths.yaml", *arguments])


def starts():
    return [tuple(line.split()) for line in Path("starts").read_text().splitlines()]


def read(tmp_path, **changes):
    path = tmp_path / "some.yaml"
    path.write_text(yaml.safe_dump(GRID | changes))
    return sweep_file.read(path)


def test_a_grid_is_every_combination_once(tmp_path):
    chosen = [tuple(trial.parameters.values()) for trial in read(tmp_path).trials()]
    assert Counter(chosen) == Counter([(1, 0), (1, 1), (2, 0), (2, 1)])


def test_seeds_of_one_choice_share_an_experiment(tmp_path):
    folders = [(trial.experiment, trial.run) for trial in read(tmp_path).trials()]
    assert folders == [("width_1", "seed0"), ("width_1", "seed1"), ("width_2", "seed0"), ("width_2", "seed1")]


def test_draws_keep_to_their_ranges_and_follow_the_seed(tmp_path):
    ranges = {
        "rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "width": {"min": 8, "max": 64},
        "share": {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25},
        "name": {"values": ["a", "b"]},
        "fixed": 7,
    }
    file = read(tmp_path, method="random", parameters=ranges)
    trials = [trial.parameters for trial in file.trials(200, seed=3)]
    assert trials == [trial.parameters for trial in file.trials(200, seed=3)]
    assert trials != [trial.parameters for trial in file.trials(200, seed=4)]
    assert all(1e-4 <= trial["rate"] <= 1e-2 for trial in trials)
    assert 0.4 < sum(trial["rate"] < 1e-3 for trial in trials) / 200 < 0.6
    assert {type(trial["width"]) for trial in trials} == {int}
    assert {trial["share"] for trial in trials} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {trial["name"] for trial in trials} == {"a", "b"}
    assert {trial["fixed"] for trial in trials} == {7}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "bayes"}, "`method` must be grid or random, got bayes"),
        ({"early_terminate": {}}, "`early_terminate` must be one of"),
        ({"metric": {"name": "test/pixel_ap"}}, "`metric.name` must be a figure of validation"),
        ({"command": ["python", "x.py"]}, "`command` must be a list with anomaly-diffusion"),
        ({"command": [*COMMAND, "${args_json}"]}, "must not use \\${args_json}"),
        ({"parameters": {}}, "`parameters` must name what varies"),
        ({"parameters": {"a": {"min": 0, "max": 1}}}, "`a` must have `value` or `values` in a grid"),
        (
            {"method": "random", "parameters": {"a": {"distribution": "normal", "mu": 0}}},
            "`a` must have values, or min, max",
        ),
    ],
)
def test_what_cannot_be_done_here_is_told(tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        read(tmp_path, **changes)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments/sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_have_a_folder_for_each_trial_and_name_files_that_exist(path):
    file = sweep_file.read(path)
    trials = file.trials(5)
    assert len({(trial.experiment, trial.run) for trial in trials}) == len(trials)
    every = [word.partition("=")[2] or word for trial in file.trials(200) for word in file.words(trial)]
    named = [name for word in every if word.endswith(".yaml") for name in word.split(",")]
    assert all((ROOT / name).is_file() or (ROOT / "experiments" / name).is_file() for name in named)


def test_a_sweep_runs_every_trial_once_and_ranks_by_validation(sweep, capsys):
    assert sweep() == 0
    printed = capsys.readouterr().out
    assert Counter(starts()) == Counter((f"widths-width_{w}", f"seed{s}", "fresh") for w in (1, 2) for s in (0, 1))
    table = printed[printed.rindex("trial ") :]
    assert table.index("width_2") < table.index("width_1")


def test_what_is_done_is_skipped(sweep, capsys):
    assert sweep("--count", "2") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/*/summary.json")}
    assert sweep() == 0
    assert len(starts()) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_failed_trial_is_told_and_the_others_go_on(sweep, capsys):
    Path("broken").touch()
    assert sweep() == 1
    told = capsys.readouterr().err
    assert told.count("error: it broke") == 2
    assert len(list(Path("runs").glob("*/seed0/summary.json"))) == 2
    Path("broken").unlink()
    assert sweep() == 0
    assert len(starts()) == 6


def test_folders_of_another_command_are_not_taken_for_results(sweep, capsys):
    assert sweep() == 0
    Path("widths.yaml").write_text(yaml.safe_dump(GRID | {"command": [*COMMAND, "--more"]}))
    assert sweep() == 1
    assert "comes from another command" in capsys.readouterr().err
    assert len(starts()) == 4


def test_a_dry_run_only_prints(sweep, capsys):
    assert sweep("--dry_run") == 0
    assert capsys.readouterr().out.count("--model.width=") == 4
    assert not Path("runs").exists()


def test_from_python_it_is_the_same_sweep_and_settings_are_on_top(sweep, capsys):
    runs = ad.sweep("widths.yaml", {"data.batch_size": 3})
    assert [(run.group, run.name) for run in runs] == [
        (f"widths-width_{width}", f"seed{seed}") for width in (1, 2) for seed in (0, 1)
    ]
    asked = Path("runs/widths-width_1/seed0.log").read_text().splitlines()[0]
    assert "--data.batch_size=3" in asked
    assert asked.endswith("--wandb.mode offline")
    assert len(ad.sweep("widths.yaml", {"data.batch_size": 3})) == 4
    assert len(starts()) == 4
    assert capsys.readouterr().out == ""


def test_from_python_what_cannot_be_done_is_an_error(sweep):
    Path("broken").touch()
    with pytest.raises(RuntimeError, match=r"2 of 4 trials have no results: .*seed1\.log \(error: it broke\)"):
        ad.sweep("widths.yaml")
    with pytest.raises(ValueError, match="comes from another command"):
        ad.sweep("widths.yaml", {"data.batch_size": 3})
    with pytest.raises(ValueError, match="`jobs` must be positive, got 0"):
        ad.sweep("widths.yaml", jobs=0)


def test_a_random_sweep_must_be_told_how_long(sweep, capsys):
    Path("widths.yaml").write_text(yaml.safe_dump(GRID | {"method": "random"}))
    assert sweep() == 1
    assert "--count" in capsys.readouterr().err


def started(*words):
    """The real front door in a process of its own; `-m` would find the stand-in."""
    call = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from anomaly_diffusion.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", call, str(ROOT), *words]
    # a background job of a shell ignores Ctrl-C, and so would its children
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def until(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_was_ended_in_mid_run_goes_on_and_loses_nothing(sweep, how, capsys):
    Path("wait").touch()
    first = started("sweep", "widths.yaml")
    waiting = Path("runs/widths-width_1/seed1")
    until((waiting / "checkpoints/last.ckpt").exists)
    done = Path("runs/widths-width_1/seed0/summary.json")
    before = done.stat().st_mtime_ns
    first.send_signal(how)
    printed = first.communicate(timeout=300)
    if how == signal.SIGINT:
        assert first.returncode == 130
        assert "1 of 4 trials are done" in printed[1]
        Path("wait").unlink()
    else:  # the trial itself goes on alone, and is not begun a second time beside it
        assert first.returncode == -signal.SIGKILL
        Path("wait").unlink()
        until((waiting / "summary.json").exists)
    assert sweep() == 0
    assert done.stat().st_mtime_ns == before
    fresh = Counter(start[:2] for start in starts() if start[2] == "fresh")
    assert set(fresh.values()) == {1}
    assert len(fresh) == 4
    assert len(list(Path("runs").glob("*/*/summary.json"))) == 4


def test_a_trial_that_another_process_runs_is_left_to_it(sweep, capsys):
    Path("wait").touch()
    first = started("sweep", "widths.yaml")
    until(Path("runs/widths-width_1/seed1/checkpoints/last.ckpt").exists)
    assert sweep("--count", "2") == 0
    assert "elsewhere" in capsys.readouterr().out
    Path("wait").unlink()
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert len(starts()) == 4


@pytest.mark.soak
def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = {"train": 8, "validation": 8, "test": 4}
    settings = ["--config", str(ROOT / "experiments/model/pixel.yaml"), "--data.image_size", "[16,16]"]
    settings += [word for use, count in few.items() for word in (f"--data.dataset.init_args.{use}", str(count))]
    settings += ["--trainer.max_steps", "6", "--trainer.val_check_interval", "3", "--panels.count", "1"]
    settings += ["--trajectories.count", "1", "--failures.worst", "1"]
    command = ["${env}", "anomaly-diffusion", "train", *settings, "${args}"]
    Path("s.yaml").write_text(
        yaml.safe_dump(GRID | {"command": command, "parameters": {"seed_everything": {"values": [0]}}})
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sweep = [sys.executable, "-m", "anomaly_diffusion", "sweep", "s.yaml", "--wandb", "disabled"]
    folder = Path("runs/s-trial/seed0")
    first = subprocess.Popen(sweep, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + 600
    while not (folder / "checkpoints/last.ckpt").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    first.kill()
    first.communicate()
    for process in Path("/proc").glob("[0-9]*"):  # the training too
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if "train" in words and (process / "cwd").resolve() == tmp_path.resolve():
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    time.sleep(0.5)
    assert subprocess.run(sweep, capture_output=True, timeout=900).returncode == 0
    assert json.loads((folder / "summary.json").read_text())["validation"]
