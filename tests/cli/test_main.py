import json
import subprocess
import sys

import pytest

import anomaly_diffusion
from anomaly_diffusion.cli import checks, listing
from anomaly_diffusion.cli import main as front_door
from anomaly_diffusion.cli.main import main

HEAVY = ("torch", "pytorch_lightning", "numpy", "wandb", "rich")
LONGEST_HELP = 30


def test_help_version_and_list_import_nothing_heavy():
    program = (
        "import json, sys; from anomaly_diffusion.cli.main import VERBS, main;"
        "parsed = ('demo', 'data', 'doctor', 'compare', 'sweep', 'report', 'paper', 'detection_limit', 'choose');"
        "parsed += ('serve', 'inspect', 'export', 'add', 'completion');"
        "light = [v for v in VERBS if v not in parsed];"
        "calls = [['--help'], ['--version'], ['list'], ['tset'], *([v, '--help'] for v in light)];"
        "status = [main(call) for call in calls];"
        f"print('\\n' + json.dumps([status, [m for m in {HEAVY} if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    status, imported = json.loads(done.stdout.splitlines()[-1])
    assert imported == []
    assert status == [0, 0, 0, 2] + [0] * (len(status) - 4)


@pytest.mark.parametrize("verb", ["fit", "train", "validate", "test", "predict"])
def test_the_help_of_a_verb_fits_on_a_screen(capsys, verb):
    assert main([verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert verb in lines[0]
    assert len(lines) < LONGEST_HELP
    assert max(map(len, lines)) <= 120


def test_every_verb_is_in_the_overview(capsys):
    main([])
    overview = capsys.readouterr().out
    assert not [verb for verb in front_door.VERBS if f"  {verb} " not in overview]


def test_a_misspelt_verb_is_answered_with_the_one_that_was_meant(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "error: `trian` is no command. Did you mean `train`?\n"


def test_a_users_mistake_has_no_traceback_unless_asked_for(capsys):
    assert main(["fit", "--config", "nowhere.yaml"]) == 1
    error = capsys.readouterr().err
    assert "nowhere.yaml does not exist" in error
    assert "Traceback" not in error
    with pytest.raises(FileNotFoundError):
        main(["fit", "--config", "nowhere.yaml", "--debug"])


@pytest.mark.parametrize(("verb", "told"), [("fit", "Interrupted. Go on from"), ("checks", "Interrupted.")])
@pytest.mark.parametrize("as_exit", [False, True])
def test_ctrl_c_ends_in_one_line_and_status_130(capsys, monkeypatch, verb, told, as_exit):
    def interrupted(*_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if as_exit:
                sys.exit(1)  # what Lightning does
            raise

    monkeypatch.setattr(front_door, "_dispatch", interrupted)
    assert main([verb]) == 130
    error = capsys.readouterr().err
    assert error.startswith(told)
    assert error.count("\n") == 1


def test_a_bug_keeps_its_traceback(monkeypatch):
    def buggy(*_):
        raise TypeError("ours")

    monkeypatch.setattr(front_door, "_dispatch", buggy)
    with pytest.raises(TypeError):
        main(["fit"])


@pytest.mark.parametrize("kind", [*listing.KINDS, "experiments"])
def test_every_kind_has_members_and_each_says_what_it_is(capsys, kind):
    assert main(["list", kind]) == 0
    assert "none yet" not in capsys.readouterr().out
    entries = listing.members(listing.KINDS[kind]) if kind in listing.KINDS else []
    assert all(entry.summary.endswith(".") for entry in entries)


def test_list_finds_grandchildren_and_hides_private_classes():
    names = {entry.name for entry in listing.members("Schedule")}
    assert "LinearBetaSchedule" in names
    assert not [name for name in names if name.startswith("_")]


def test_an_unknown_kind_is_answered_with_the_known_ones(capsys):
    assert main(["list", "noise"]) == 2
    assert "noises" in capsys.readouterr().err


def test_checks_tell_what_a_bug_report_needs(capsys, tmp_path):
    assert main(["checks", str(tmp_path / "not" / "there")]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("torch", "pytorch-lightning", "CPU", "memory", "GPU", "disk", "W&B"))


def test_checks_never_print_a_key(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert "secret" not in str(list(checks.rows(tmp_path)))


def test_public_names_are_found_in_their_rooms():
    assert all(getattr(anomaly_diffusion, name) is not None for name in anomaly_diffusion.__all__)
    with pytest.raises(AttributeError):
        _ = anomaly_diffusion.Nonsense
