"""What is changed when a run is resumed holds from there on, what cannot be changed is refused by name."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import toy
import yaml

from anomaly_diffusion import files
from anomaly_diffusion.data.split import Validation
from anomaly_diffusion.engine import changes

TOY = ("--config", "toy.yaml")
CONSTANT = ("--lr_scheduler=ConstantLR", "--lr_scheduler.init_args.factor=1.0")
LONGER = "--trainer.max_steps=12"


def last(name="mine"):
    return torch.load(f"runs/toy/{name}/checkpoints/last.ckpt", weights_only=True)


def resume(run, *words):
    return run("fit", "--resume", "runs/toy/mine", LONGER, *words)


def test_a_changed_learning_rate_is_the_one_that_trains(run, capsys):
    assert run("fit", *TOY, *CONSTANT, "--run", "mine") == 0
    before = last()["state_dict"]
    assert resume(run, "--optimizer.init_args.lr=0.0") == 0
    assert "optimizer.init_args.lr 0.0 instead of 0.1" in capsys.readouterr().out
    after = last()
    assert after["global_step"] == 12
    assert all(torch.equal(before[name], weight) for name, weight in after["state_dict"].items())
    assert after["optimizer_states"][0]["param_groups"][0]["lr"] == 0


def test_a_changed_rate_scales_the_schedule_from_where_it_stands_and_stays_when_resumed_again(run):
    assert run("fit", *TOY, "--run", "mine") == 0
    assert run("fit", *TOY, "--run", "whole", LONGER, "--optimizer.init_args.lr=0.05") == 0
    assert resume(run, "--optimizer.init_args.lr=0.05") == 0
    (mine,), (whole,) = (last(name)["optimizer_states"][0]["param_groups"] for name in ("mine", "whole"))
    assert mine["lr"] == pytest.approx(whole["lr"], rel=1e-12)
    assert mine["initial_lr"] == 0.05
    assert run("fit", "--resume", "runs/toy/mine", "--trainer.max_steps=16") == 0
    assert last()["optimizer_states"][0]["param_groups"][0]["initial_lr"] == 0.05


def test_every_setting_of_an_optimiser_and_of_a_schedule_holds(run):
    schedule = ("--lr_scheduler=StepLR", "--lr_scheduler.init_args.step_size=100")
    assert run("fit", *TOY, "--run", "mine", *schedule, "--lr_scheduler.init_args.gamma=1.0") == 0
    words = ("--optimizer.init_args.weight_decay=0.25", "--optimizer.init_args.momentum=0.5")
    assert resume(run, *words, "--lr_scheduler.init_args.step_size=2", "--lr_scheduler.init_args.gamma=0.5") == 0
    (group,) = last()["optimizer_states"][0]["param_groups"]
    assert (group["weight_decay"], group["momentum"]) == (0.25, 0.5)
    assert group["lr"] == pytest.approx(0.1 / 4), "after the tenth and the twelfth step"


def test_the_settings_that_hold_are_written_down(run):
    run("fit", *TOY, "--run", "mine")
    assert resume(run, "--optimizer.init_args.lr=0.05") == 0
    text = Path("runs/toy/mine/config.yaml").read_text()
    assert "# Resumed at step 8 with" in text
    assert "trainer.max_steps 12 instead of 8" in text
    assert yaml.safe_load(text)["optimizer"]["init_args"]["lr"] == 0.05
    assert run("fit", "--resume", "runs/toy/mine", "--trainer.max_steps=16") == 0
    assert Path("runs/toy/mine/config.yaml").read_text().count("# Resumed at step") == 2


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("optimizer.class_path", ("--optimizer=AdamW",)),
        ("lr_scheduler", CONSTANT),
        ("seed_everything", ("--seed_everything=5",)),
        ("experiment", ("--experiment=other",)),
        ("run", ("--run=other",)),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name_and_nothing_is_touched(run, capsys, key, words):
    run("fit", *TOY, "--run", "mine")
    files = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert resume(run, *words) == 1
    said = capsys.readouterr().err
    assert f"`{key}` must stay" in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()} == files


def test_an_optimiser_of_another_kind_is_refused_where_no_config_named_the_first(run, capsys, monkeypatch):
    settings = yaml.safe_load(Path("toy.yaml").read_text())
    del settings["optimizer"]
    Path("toy.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(
        toy.LineDetector, "configure_optimizers", lambda self: torch.optim.SGD(self.parameters(), 0.1), raising=False
    )
    assert run("fit", *TOY, "--run", "mine") == 0
    assert resume(run, "--optimizer=AdamW") == 1
    assert "`optimizer` must stay SGD, got AdamW" in capsys.readouterr().err


def test_who_validates_is_decided_for_good(tmp_path):
    path = tmp_path / "config.yaml"
    own = {"share": 0.1, "at_least": 16, "at_most": 64, "severity": 1.0, "seed": 0, "paintings": 1}
    for validation, stands_for in ((None, asdict(Validation())), (own, own)):
        path.write_text(json.dumps({"data": {"validation": validation}}))
        chosen = stands_for | {"paintings": 6}
        before = changes.saved(files.read_mapping(path))
        changes.refuse(changes.changes(before, {"data": {"validation": chosen}}))
        with pytest.raises(ValueError, match=rf"`data.validation.share` must stay {stands_for['share']}, got 0.3"):
            changes.refuse(changes.changes(before, {"data": {"validation": chosen | {"share": 0.3}}}))


def test_a_schedule_that_cannot_be_changed_on_its_way_is_refused(run, capsys):
    schedule = ("--lr_scheduler=MultiStepLR", "--lr_scheduler.init_args.milestones=[3]")
    assert run("fit", *TOY, "--run", "mine", *schedule) == 0
    assert resume(run, "--lr_scheduler.init_args.milestones=[9]") == 1
    assert "`lr_scheduler.init_args.milestones` must stay [3], got [9]" in capsys.readouterr().err
