import csv
import signal
import sys
from pathlib import Path

import pytest
import torch
import toy
import yaml

from anomaly_diffusion.cli.parsing import lightning_cli

TOY = ("--config", "toy.yaml")


def weights(folder):
    return torch.load(Path(folder) / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]


def rows(folder):
    with (Path(folder) / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def same(first, second):
    return all(torch.equal(weights(first)[name], weights(second)[name]) for name in weights(first))


def test_the_same_command_twice_gives_the_same_bits_in_two_folders(run):
    assert run("fit", *TOY) == run("fit", *TOY) == 0
    assert same("runs/toy/001", "runs/toy/002")


def test_another_seed_gives_other_weights(run):
    run("fit", *TOY)
    run("fit", *TOY, "--seed_everything", "1")
    assert not same("runs/toy/001", "runs/toy/002")


def test_the_saved_config_runs_the_run_again_with_what_was_overridden(run):
    run("fit", *TOY, "--seed_everything", "3", "--run", "first", "--data.count", "12")
    assert run("train", "--config", "runs/toy/first/config.yaml") == 0
    assert same("runs/toy/first", "runs/toy/001")
    again = yaml.safe_load(Path("runs/toy/001/config.yaml").read_text())
    assert again == yaml.safe_load(Path("runs/toy/first/config.yaml").read_text())
    assert again["seed_everything"] == 3


def test_train_tests_the_checkpoint_that_was_best_on_validation(run, monkeypatch):
    tested = []
    monkeypatch.setattr(lightning_cli.RunTrainer, "test", lambda self, *_, ckpt_path, **__: tested.append(ckpt_path))
    assert run("train", *TOY) == 0
    assert [Path(path).relative_to(Path.cwd()).as_posix() for path in tested] == ["runs/toy/001/checkpoints/best.ckpt"]


def test_a_taken_run_name_is_refused_and_the_first_run_is_left_alone(run, capsys):
    run("fit", *TOY, "--run", "mine")
    before = rows("runs/toy/mine")
    assert run("fit", *TOY, "--run", "mine") == 1
    assert "--resume runs/toy/mine" in capsys.readouterr().err
    assert rows("runs/toy/mine") == before


def test_a_run_resumed_after_ctrl_c_reaches_the_weights_of_an_uninterrupted_one_and_keeps_its_metrics(run, monkeypatch):
    run("fit", *TOY, "--run", "whole")
    step = toy.LineDetector.training_step

    def interrupted(self, batch, batch_idx):
        if self.global_step == 6:  # two steps after the first checkpoint
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(toy.LineDetector, "training_step", interrupted)
        assert run("fit", *TOY) == 130
    signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    before = rows("runs/toy/001")
    assert run("fit", "--resume", "runs/toy/001") == 0
    assert same("runs/toy/001", "runs/toy/whole")
    assert [row["step"] for row in rows("runs/toy/001")][: len(before)] == [row["step"] for row in before]


@pytest.mark.parametrize(
    "source", [("--run_folder", "runs/toy/001"), ("--ckpt_path", "runs/toy/001/checkpoints/best.ckpt")]
)
def test_an_evaluation_takes_the_settings_of_its_run_and_goes_into_folders_of_its_own(run, source):
    run("fit", *TOY, "--data.count", "12")
    Path("runs/toy/001/split.json").write_text("{}")
    assert run("test", *source) == run("validate", *source) == run("predict", *source) == 0
    evaluations = Path("runs/toy/001/evaluations")
    assert yaml.safe_load((evaluations / "001/config.yaml").read_text())["data"]["count"] == 12
    assert [(evaluations / name / "split.json").read_text() for name in ("001", "002", "003")] == ["{}"] * 3
    assert list(Path("runs/toy").iterdir()) == [Path("runs/toy/001")]


def test_a_setting_on_the_command_line_beats_that_of_the_evaluated_run(run):
    run("fit", *TOY)
    run("test", "--run_folder", "last", "--data.count", "32")
    assert yaml.safe_load(Path("runs/toy/001/evaluations/001/config.yaml").read_text())["data"]["count"] == 32


def test_a_run_leaves_nothing_outside_its_folder(run):
    run("train", *TOY)
    files = {path.relative_to("runs/toy/001").as_posix() for path in Path("runs/toy/001").rglob("*") if path.is_file()}
    checkpoints = {f"checkpoints/{name}.ckpt" for name in ("best", "last", "previous")}
    assert files == {"config.yaml", "metrics.csv", *checkpoints}
    assert {path.name for path in Path().iterdir()} == {"runs", "toy.yaml"}


def test_a_trial_run_is_kept_apart_from_real_ones(run):
    assert run("fit", *TOY, "--trainer.fast_dev_run", "1") == 0
    assert [path.as_posix() for path in Path("runs").iterdir()] == ["runs/fast_dev_run"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("trainer: {max_stepz: 3}", "`trainer.max_stepz` is no known setting. Did you mean `trainer.max_steps`?"),
        ("model: {init_args: {widht: 3}}", "`widht` is no argument of LineDetector. Did you mean `width`?"),
        (
            "model: {class_path: PixelDetectr}",
            "`model` must be a LineDetector or null, got PixelDetectr. Did you mean `PixelDetector`?",
        ),
        ("model: {init_args: {width: many}}", "`model.width` must be a whole number, got many."),
        ("wandb: {mode: onlin}", "`wandb.mode` must be one of offline, online, disabled, got onlin."),
    ],
)
def test_a_mistake_in_a_config_is_told_in_one_line(run, capsys, settings, told):
    Path("wrong.yaml").write_text(settings)
    assert run("fit", *TOY, "--config", "wrong.yaml") == 2
    *notes, error = capsys.readouterr().err.strip().splitlines()
    assert all(" overrules " in note for note in notes)
    assert error.startswith("error: ")
    assert error.endswith(told)
    assert "\n" not in error
    assert not Path("runs").exists()


def test_a_value_that_a_constructor_refuses_is_told_in_its_own_words(run, capsys):
    assert run("fit", *TOY, "--model.init_args.width", "0") == 1
    assert capsys.readouterr().err.splitlines()[0] == "error: `width` must be positive, got 0."
    assert not Path("runs").exists()


def test_a_run_without_a_model_is_told_where_to_find_one(run, capsys):
    assert run("fit") == 2
    assert "--config experiments/model/pixel.yaml" in capsys.readouterr().err


def test_wandb_is_not_imported_when_it_is_disabled(run, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    assert run("fit", *TOY) == 0
    assert "wandb" not in sys.modules


def test_offline_wandb_keeps_everything_in_the_run_folder_and_gets_the_whole_config(run, tmp_path, monkeypatch):
    sent = []
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    describe = lightning_cli.loggers.describe
    monkeypatch.setattr(lightning_cli.loggers, "describe", lambda *told: sent.append(told[1]) or describe(*told))
    assert run("fit", *TOY, "--wandb.mode", "offline", "--wandb.tags", "[a]") == 0
    import wandb

    wandb.teardown()  # its service writes on after the run, until the process ends
    (log,) = Path("runs/toy/001/wandb").glob("offline-run-*/*.wandb")
    written = log.read_bytes()
    assert [word for word in (b"LineDetector", b"max_steps", b"val/pixel_ap") if word not in written] == []
    assert not [path for path in home.rglob("*") if "wandb" in str(path.relative_to(home))]
    assert sent[0] == yaml.safe_load(Path("runs/toy/001/config.yaml").read_text())
