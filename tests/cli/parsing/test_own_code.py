"""Classes of a user's own, in a file of the folder that a command is started in."""

import importlib
import json
import multiprocessing
import sys

import pytest
import yaml
from program import Program

from anomaly_diffusion.cli.parsing import own_code
from anomaly_diffusion.cli.user_errors import UsageError

NOISE = """
from anomaly_diffusion.diffusion.noise import GaussianNoise

class Noise(GaussianNoise):
    '''Louder.'''
"""
OVERLAY = {"model": {"init_args": {"noise": {"class_path": "mine_of_test.Noise"}}}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with `mine_of_test.py`, in which commands are started; nothing of it is left in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "mine_of_test.py").write_text(NOISE)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mine_of_test")]:
        del sys.modules[name]


@pytest.mark.parametrize("words", [["--model.init_args.noise=mine_of_test.Noise"], ["--model", "mine_of_test.Noise"]])
def test_what_a_command_line_names_is_imported_also_by_processes_that_are_started(here, words):
    own_code.import_named(words)
    assert sys.modules["mine_of_test"].Noise
    assert sys.path[-1] == str(here)
    process = multiprocessing.get_context("spawn").Process(target=importlib.import_module, args=["mine_of_test"])
    process.start()
    process.join()
    assert process.exitcode == 0


def test_what_a_config_names_is_imported_and_nothing_else(here):
    (here / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
    (here / "other_of_test.py").write_text("raise RuntimeError")
    (here / "other_of_test.yaml").write_text("{}")
    own_code.import_named(
        ["--config", "overlay.yaml", "--config=other_of_test.yaml", "--data.root", "a/other_of_test.b"]
    )
    assert "mine_of_test" in sys.modules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import torch\n\nclass Noise(:\n", "mine_of_test.py, line 3: SyntaxError: invalid syntax"),
        ("\nimport no_such_module\n", "mine_of_test.py, line 2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import json\n\njson.loads('x')\n", "mine_of_test.py, line 3: JSONDecodeError: Expecting value"),
    ],
)
def test_a_mistake_in_it_is_told_with_its_file_and_line(here, text, told):
    (here / "mine_of_test.py").write_text(text)
    with pytest.raises(UsageError) as error:
        own_code.import_described(OVERLAY)
    assert str(error.value).startswith(told)


def test_a_module_that_is_nowhere_is_told_with_the_folder(here):
    settings = {"noise": {"class_path": "mine_of_nobody.Noise"}, "other": {"class_path": "SimplexNoise"}}
    with pytest.raises(UsageError, match=rf"there is no module mine_of_nobody, .*{here}.*holds mine_of_nobody.py"):
        own_code.import_described(settings)


def test_training_and_testing_find_it(tmp_path):
    program = Program(tmp_path)
    (tmp_path / "mine_of_test.py").write_text(NOISE)
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
    words = (
        "--config",
        "tiny.yaml",
        "--config",
        "overlay.yaml",
        "--trainer.max_steps=2",
        "--experiment=tiny",
        "--run=a",
    )
    status, said = program("train", *words, "--trainer.val_check_interval=1")
    assert status == 0, said
    assert yaml.safe_load((program.run("a") / "config.yaml").read_text())["model"]["init_args"]["noise"] == {
        "class_path": "mine_of_test.Noise"
    }
    assert json.loads((program.run("a") / "summary.json").read_text())["image_auroc"] is not None
    (tmp_path / "mine_of_test.py").write_text(NOISE + "\nsurprise")
    status, said = program("test", "--run_folder", "runs/tiny/a")
    assert (status, said.splitlines()[-1]) == (
        2,
        "error: mine_of_test.py, line 7: NameError: name 'surprise' is not defined",
    )
    (tmp_path / "mine_of_test.py").unlink()
    status, said = program("test", "--run_folder", "runs/tiny/a")
    assert status == 2
    assert "holds mine_of_test.py" in said
