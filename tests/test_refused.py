"""A training is refused before its first step and leaves nothing behind, or it ends well whatever its folder lacks."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from program import Program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("refused"))


@pytest.fixture
def category(program):
    """A category in the MVTec AD layout: 24 training, 4 good and 4 defective test images."""
    random = np.random.default_rng(0)
    folder = program.folder / "photographs"
    for use, count in {"train/good": 24, "test/good": 4, "test/scratch": 4}.items():
        (folder / use).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / use / f"{number:03}.png")
    (folder / "ground_truth/scratch").mkdir(parents=True)
    mask = np.zeros((20, 20), np.uint8)
    mask[4:9, 4:9] = 255
    for number in range(4):
        Image.fromarray(mask).save(folder / f"ground_truth/scratch/{number:03}_mask.png")
    yield folder
    shutil.rmtree(folder)


PHOTOGRAPHS = "--data.dataset={class_path: MVTecAD, init_args: {root: photographs}}"


def train(program, *words, verb="train", status=0):
    found, said = program(verb, "--config", "tiny.yaml", PHOTOGRAPHS, *words)
    assert found == status, said
    assert "Traceback" not in said
    return said


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != "output.txt")


def test_bad_test_files_are_told_before_training_and_the_refused_run_leaves_nothing(program, category):
    (category / "test/scratch/001.png").write_bytes(b"no image")
    (category / "ground_truth/scratch/002_mask.png").unlink()
    before = everything(program.folder)
    said = train(program, "--wandb.mode=offline", status=1)
    assert "2 files are unusable" in said
    assert "test/scratch/001.png" in said
    assert "002_mask.png" in said
    assert everything(program.folder) == before
    train(program, "--trainer.max_steps=3", verb="fit")  # which tests nothing
    shutil.rmtree(program.folder / "runs")


def test_a_refused_evaluation_leaves_nothing_in_its_run(program, category):
    train(program, "--run=whole", "--trainer.max_steps=3")
    before = everything(program.folder / "runs")
    (category / "test/good/001.png").write_bytes(b"")
    folder = program.run("whole")
    status, said = program("test", "--run_folder", str(folder))
    assert status == 1, said
    assert everything(program.folder / "runs") == before


def test_a_run_that_fails_after_its_first_step_keeps_its_folder(program, category):
    status, said = program("fit", "--config", "tiny.yaml", PHOTOGRAPHS, "--run=later", kill=("disk", 2))
    assert status == 1, said
    assert (program.run("later") / "config.yaml").is_file()


def test_a_value_that_a_trainer_refuses_leaves_nothing(program, category):
    before = everything(program.folder)
    train(program, "--runs_dir=elsewhere", "--trainer.strategy=nonsense", status=1)
    assert everything(program.folder) == before


@pytest.mark.parametrize(
    ("gone", "missing", "scored"),
    [
        ("test", "normal and defective", False),
        pytest.param("test/scratch", "defective", True, marks=pytest.mark.soak),
        pytest.param("test/good", "normal", True, marks=pytest.mark.soak),
    ],
)
def test_without_a_test_set_a_training_ends_with_the_figures_of_validation(program, category, gone, missing, scored):
    shutil.rmtree(category / gone)
    name = missing.replace(" ", "-")
    said = train(program, "--run", name, "--trainer.max_steps=3")
    assert f"note: there are no {missing} photographs to test on" in said
    table = said.rpartition("note:")[0]
    assert "validation, with painted defects" in table
    summary = json.loads((program.run(name) / "summary.json").read_text())
    assert summary["validation"]["image_auroc"] is not None
    assert summary["image_auroc"] is None
    assert (program.run(name) / "per_image.csv").is_file() == scored


def test_without_masks_a_training_ends_with_image_figures(program, category):
    shutil.rmtree(category / "ground_truth")
    said = train(program, "--run=unmasked", "--trainer.max_steps=3")
    assert "note:" not in said
    summary = json.loads((program.run("unmasked") / "summary.json").read_text())
    assert summary["image_auroc"] is not None
    assert summary["pixel_ap"] is None
