"""From Python it is what it is from the command line, and silent."""

import gc

import pytest
import torch
from commands import unchanged_process
from small_run import NARROW, SMALL_RUN

import anomaly_diffusion
from anomaly_diffusion.api import evaluate, load, test_images, train
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.user_errors import UsageError
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.engine.trainer import RunTrainer

SMALL = SMALL_RUN | NARROW | {"data.dataset.init_args.train": 8}
test_images.__test__ = False  # the name of what a user calls, not of a test


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with unchanged_process():
        yield folder


@pytest.fixture(scope="module")
def run(folder):
    settings = SMALL | {"runs_dir": folder / "runs", "data.image_size": [32, 32]}
    with unchanged_process():
        return train("model/pixel.yaml", settings=settings)


def test_a_run_is_that_of_the_command_line(run, here) -> None:
    words = [f"--{name}={value}" for name, value in (SMALL | {"data.image_size": "[32,32]"}).items()]
    quiet = ("--wandb.mode=disabled", "--runs_dir", str(here / "other"))
    assert main(["train", "--config", "model/pixel.yaml", *words, *quiet]) == 0
    theirs = anomaly_diffusion.Run(here / "other" / run.folder.parent.name / "001")
    assert [row["score"] for row in theirs.rows("per_image.csv")] == [row["score"] for row in run.rows("per_image.csv")]
    assert run.figures["pixel_ap"] == theirs.figures["pixel_ap"]


def test_nothing_is_printed_and_nothing_stays_behind(here, capfd) -> None:
    train("model/pixel.yaml", settings=SMALL | {"trainer.fast_dev_run": 1})
    assert capfd.readouterr().out == ""
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_run_in_a_notebook_leaves_neither_its_trainer_nor_its_photographs_in_memory(run, here) -> None:
    gc.collect()
    before = _held()
    train("model/pixel.yaml", settings=SMALL | {"experiment": "again"})
    gc.collect()
    assert _held() <= before


def _held() -> int:
    return sum(type(one) in (RunTrainer, AnomalyDataModule) for one in gc.get_objects())


def test_an_evaluation_lies_in_its_run_and_is_judged_by_its_weights(run, here) -> None:
    again = evaluate(run, "ablation/depth_sweep.yaml", settings={"panels.count": 1})
    assert again.folder.parents[1] == run.folder
    assert len(again.rows("depths.csv")) == 6
    assert load(again).depths == load(run).depths


def test_what_is_loaded_gives_the_verdicts_of_the_test(run, here) -> None:
    images = test_images(run)
    verdict = load(run)(images)
    scores = dict(zip(images.path, verdict.score.tolist(), strict=True))
    assert len(scores) == 4
    for row in run.rows("per_image.csv"):
        assert scores[row["path"]] == pytest.approx(row["score"], rel=1e-3)


def test_a_wrong_setting_is_told_as_on_the_command_line(here) -> None:
    with pytest.raises(UsageError, match=r"`trainer\.max_step` is no known setting"):
        train("model/pixel.yaml", settings={"trainer.max_step": 1})
    with pytest.raises(FileNotFoundError, match=r"The config model/pixels\.yaml does not exist"):
        train("model/pixels.yaml")


def test_every_public_name_is_there() -> None:
    assert [name for name in anomaly_diffusion.__all__ if getattr(anomaly_diffusion, name) is None] == []
    assert set(anomaly_diffusion.__all__) <= set(dir(anomaly_diffusion))
