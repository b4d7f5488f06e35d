import zipfile
from pathlib import Path

import pytest

from anomaly_diffusion.cli.parsing import arguments
from anomaly_diffusion.runs import run_folder


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A run folder `runs/pixel/001` with both checkpoints, below the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/pixel/001")
    (folder / "checkpoints").mkdir(parents=True)
    for path in (run_folder.CONFIG, run_folder.BEST, run_folder.LAST):
        (folder / path).touch()
    for path in (run_folder.BEST, run_folder.LAST):
        zipfile.ZipFile(folder / path, "w").close()  # the smallest file that is whole
    return folder


@pytest.mark.parametrize(
    ("configs", "name"),
    [
        (["experiments/base.yaml"], "default"),
        (["data/tile.yaml", "model/pixel.yaml"], "pixel-tile"),
        (["ablation/flow.yaml", "model/pixel.yaml"], "pixel-flow"),
        (["my.yaml"], "my"),
    ],
)
def test_an_experiment_is_named_after_its_configs_model_first(configs, name):
    assert arguments.experiment_name([Path(config) for config in configs]) == name


@pytest.mark.parametrize("name", ["base.yaml", "experiments/base.yaml"])
@pytest.mark.parametrize("form", [["--config", "{}"], ["-c", "{}"], ["--config={}"]])
def test_a_shipped_config_is_found_from_anywhere(tmp_path, monkeypatch, name, form):
    monkeypatch.chdir(tmp_path)
    found = arguments.prepare("fit", [word.format(name) for word in form]).arguments[-1]
    assert Path(found.split("=")[-1]).samefile(arguments.experiments_folder() / "base.yaml")


def test_a_config_that_lies_here_beats_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").touch()
    assert arguments.locate_config("base.yaml") == "base.yaml"


def test_a_misspelt_config_is_answered_with_the_one_that_was_meant():
    with pytest.raises(FileNotFoundError, match=r"Did you mean experiments/base.yaml\?"):
        arguments.locate_config("bsae.yaml")


def test_a_config_that_is_no_yaml_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("model:\n  class_path: [\n")
    with pytest.raises(ValueError, match=r"broken.yaml is no valid YAML: .*line 3"):
        arguments.prepare("fit", ["--config", str(path)])


@pytest.mark.parametrize("name", ["last", "runs/pixel/001", "pixel/001"])
def test_resuming_reads_the_config_of_the_run_first_and_its_last_checkpoint(finished, name):
    request = arguments.prepare("fit", ["--trainer.max_steps", "9", "--resume", name])
    config, checkpoint = str(finished / run_folder.CONFIG), str(finished / run_folder.LAST)
    assert request.arguments == ["--config", config, "--trainer.max_steps", "9", "--ckpt_path", checkpoint]
    assert request.source == finished


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (["--run_folder", "last"], run_folder.BEST),
        (["--run_folder=runs/pixel/001", "--ckpt_path=last"], run_folder.LAST),
        (["--ckpt_path", "runs/pixel/001/checkpoints/last.ckpt"], run_folder.LAST),
    ],
)
def test_evaluating_uses_the_best_checkpoint_unless_told_otherwise(finished, given, used):
    request = arguments.prepare("test", given)
    assert request.arguments == ["--config", str(finished / run_folder.CONFIG), "--ckpt_path", str(finished / used)]
    assert request.source == finished


@pytest.mark.parametrize(
    ("verb", "option", "instead"), [("fit", "--run_folder", "--resume"), ("test", "--resume", "--run_folder")]
)
def test_an_option_of_another_verb_is_answered_with_the_right_one(verb, option, instead):
    with pytest.raises(ValueError, match=f"by {instead} FOLDER"):
        arguments.prepare(verb, [option, "runs/pixel/001"])
