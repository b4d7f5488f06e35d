"""Registration: parts that a fixture leaves a little elsewhere are no defects, and defects stay found."""

import cv2
import numpy as np
import pytest
import torch
from commands import unchanged_process
from skimage import data
from small_run import NARROW, SMALL_RUN

from anomaly_diffusion.api import data_module, evaluate, load, test_images, train
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.runs import image_results
from anomaly_diffusion.runs.record import RunRecord

test_images.__test__ = False  # the name of what a user calls, not of a test
PART = cv2.resize(data.camera(), (112, 96), interpolation=cv2.INTER_AREA)
JUDGE = {"class_path": "RawResidual", "init_args": {"judge": {"class_path": "MahalanobisResidual"}}}
RAW = {"residuals": [JUDGE], "calibration_sigma": 4.0, "pooling": {"class_path": "TopKMean"}}
SMALL = SMALL_RUN | NARROW | {"data.image_size": [80, 96], "data.augmentation": None, "data.batch_size": 8}
SMALL = {name: value for name, value in SMALL.items() if not name.startswith("data.dataset")}


def photograph(generator, shift, degrees=0.0):
    """The part, moved and turned about its middle, with noise of a camera."""
    matrix = cv2.getRotationMatrix2D((55.5, 47.5), degrees, 1.0)
    matrix[:, 2] += shift
    there = cv2.warpAffine(PART, matrix, (112, 96), borderMode=cv2.BORDER_REFLECT)[8:88, 8:104].astype(float)
    return np.clip(there + generator.normal(0, 3, there.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parts that hardly move to learn from; tested are parts that have moved by 4 pixels, some of them with a hole."""
    folder, generator = tmp_path_factory.mktemp("moving"), np.random.default_rng(0)
    for use, count, most in (("train/good", 40, 0.5), ("test/good", 8, 4.0), ("test/hole", 6, 4.0)):
        (folder / use).mkdir(parents=True)
        for number in range(count):
            angle = generator.uniform(0, 2 * np.pi)
            image = photograph(generator, most * np.array([np.cos(angle), np.sin(angle)]), 0.3 * most * (-1) ** number)
            if use == "test/hole":
                image[30:36, 40:46] = 255
                mask = np.zeros_like(image)
                mask[30:36, 40:46] = 255
                (folder / "ground_truth" / "hole").mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / "ground_truth" / "hole" / f"{number}_mask.png"), mask)
            cv2.imwrite(str(folder / use / f"{number}.png"), image)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    """The same run without and with registration."""

    def run(name, scoring):
        dataset = {"class_path": "MVTecAD", "init_args": {"root": str(folder.parent), "category": folder.name}}
        settings = SMALL | {"data.dataset": dataset}
        settings |= {"runs_dir": folder.parent / "runs", "experiment": name, "model.init_args.scoring": scoring}
        with unchanged_process():
            return train("model/pixel.yaml", settings=settings)

    return run("as_they_lie", RAW), run("registered", RAW | {"registration": {"class_path": "Registration"}})


def outcomes(run):
    results = image_results.read(run.folder / "per_image.csv")
    return {
        name: [one.score for one in results if bool(one.label) == label] for name, label in (("good", 0), ("bad", 1))
    }


def test_moved_parts_are_false_alarms_no_more_and_defects_are_found_where_they_are(runs):
    lying, registered = runs
    assert registered.summary["image_auroc"] == 1.0
    assert registered.summary["pixel_ap"] > lying.summary["pixel_ap"] + 0.1
    limit = registered.summary["verdicts"]["limit"]
    assert max(outcomes(registered)["good"]) < 1.2 * limit < min(outcomes(registered)["bad"])
    assert min(outcomes(lying)["good"]) > lying.summary["verdicts"]["limit"]  # every moved part is an alarm


def test_a_photograph_is_judged_alike_alone_beside_others_and_by_an_inspector(runs, folder):
    run = runs[1]
    detector, batch = load(run), test_images(run)
    with torch.inference_mode():
        together = detector(batch)
        for index in range(3):
            alone = detector(batch.rows(torch.tensor([index])))
            torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], rtol=0, atol=0)
    inspector = Inspector(run)
    for path, score in zip(batch.path[:3], together.score[:3].tolist(), strict=True):
        assert inspector(data_module(run).dataset.folder / path).score == score


def test_a_test_of_the_checkpoint_repeats_the_run(runs):
    run = runs[1]
    with unchanged_process():
        again = evaluate(run)
    assert (
        image_results.read(again.folder / "per_image.csv")[0].score
        == image_results.read(run.folder / "per_image.csv")[0].score
    )


def test_tiles_and_export_are_refused(runs, capsys):
    run = runs[1]
    with unchanged_process():
        assert main(["export", "--run_folder", str(run.folder)]) != 0
        assert "`scoring.registration` cannot be exported" in capsys.readouterr().err
        words = ["--run_folder", str(run.folder), "--data.tiles", "{size: [64, 64], overlap: 16}"]
        assert main(["test", *words]) != 0
        assert "`scoring.registration` moves whole frames" in capsys.readouterr().err
    assert RunRecord(run.folder).results
