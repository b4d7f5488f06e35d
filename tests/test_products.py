"""Several categories in one run: each is judged as if it were alone, and one more changes no other by a bit."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import unchanged_process
from products import scores, trained, write_products

from anomaly_diffusion import api
from anomaly_diffusion.callbacks.verdicts import judge_of
from anomaly_diffusion.cli.add import added
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.metrics.curves import auroc, count_scores
from anomaly_diffusion.runs.record import Run

CLASSES = {  # residuals that read activations know no classes
    "model.init_args.backbone.init_args.classes": 2,
    "model.init_args.scoring.init_args.residuals": ["L1Residual", "SSIMResidual"],
}
EMBEDDING = "denoiser.backbone.category.weight"
QUIET = ("--wandb.mode", "disabled")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("products")


@pytest.fixture(scope="module")
def root(folder):
    return write_products(folder / "data")


@pytest.fixture(scope="module")
def run(folder, root):
    """One model of two products, which is told which one it sees."""
    with unchanged_process():
        return trained(root, folder / "runs", ["brick", "grass"], experiment="two", **CLASSES)


@pytest.fixture(scope="module")
def more(run):
    """The same with a product more."""
    with unchanged_process():
        assert main(["add", "gravel", "--run_folder", str(run.folder), "--wandb", "disabled"]) == 0
    return Run(run.folder.parents[1] / "two-gravel" / "001")


def stored(run):
    return torch.load(run.folder / "checkpoints/best.ckpt", weights_only=True)


def verdicts(run):
    """All that is said of test images, by their paths."""
    return {one.path: replace(one, seconds=0.0) for one in run.results}


def evaluated(run, *words):
    with unchanged_process():
        assert main(["test", "--run_folder", str(run.folder), *QUIET, *words]) == 0
    return Run(max((run.folder / "evaluations").iterdir(), key=lambda path: path.stat().st_mtime))


def test_each_is_judged_as_by_a_run_that_knows_no_other(run):
    detector, alone = api.load(run), api.load(run)
    alone.calibration, alone.normal_scores = detector.categories[0].calibration, detector.categories[0].normal_scores
    alone.categories.name(["grass"], alone.calibration)
    batch = api.test_images(run)
    grass = batch.rows(batch.category == 1)
    expected = {path: score for path, score in scores(run).items() if path.startswith("grass/")}
    judged = alone(grass._replace(category=grass.category))
    assert dict(zip(grass.path, judged.score.tolist(), strict=True)) == pytest.approx(expected, rel=1e-6)
    judge = judge_of(alone, None, api.data_module(run))
    assert judge.described() == {
        name: run.summary["verdicts"]["by_category"]["grass"][name] for name in judge.described()
    }


def test_limits_come_of_their_own_held_out_photographs(run):
    split = json.loads((run.folder / "split.json").read_text())
    known = run.summary["verdicts"]["by_category"]
    for name in ("brick", "grass"):
        assert known[name]["normals"] == sum(path.startswith(f"{name}/") for path in split["validation_normal"]) == 6
    assert known["brick"]["limit"] != known["grass"]["limit"]
    assert "limit" not in run.summary["verdicts"]
    assert {one.verdict.limit for one in run.results if one.category == "grass"} == {known["grass"]["limit"]}


def test_figures_are_those_of_the_images_of_a_category(run):
    for name, figures in run.summary["by_category"].items():
        own = [one for one in run.results if one.category == name]
        counts = count_scores(np.array([one.score for one in own]), np.array([one.label == 1 for one in own]))
        assert figures["image_auroc"] == auroc(counts)
        assert 0 < figures["pixel_ap"] <= 1


def test_neither_the_batch_nor_the_order_of_categories_matters(run):
    assert verdicts(evaluated(run, "--data.batch_size", "1")) == verdicts(run)
    turned = evaluated(run, "--data.dataset.init_args.category", "[grass, brick]")
    assert verdicts(turned) == verdicts(run)
    assert turned.summary["by_category"] == run.summary["by_category"]


def test_one_more_changes_no_other_by_a_bit(run, more):
    before, after = verdicts(run), verdicts(more)
    assert {path: after[path] for path in before} == before
    assert {path.split("/")[0] for path in after.keys() - before.keys()} == {"gravel"}
    old, new = stored(run)["state_dict"], stored(more)["state_dict"]
    for name, tensor in old.items():
        if name not in ("image_threshold", "pixel_threshold"):  # there is none of several
            assert torch.equal(new[name][: len(tensor)] if name == EMBEDDING else new[name], tensor), name
    assert {name.split(".")[1] for name in new.keys() - old.keys()} == {"1"}
    limits = [one.summary["verdicts"]["by_category"] for one in (run, more)]
    assert {name: limits[1][name] for name in limits[0]} == limits[0]
    assert limits[1]["gravel"]["normals"] == 6


def test_the_network_is_told_of_the_new_one_by_the_mean_of_all_others(run, more):
    known = stored(run)["state_dict"][EMBEDDING]
    assert torch.equal(stored(more)["state_dict"][EMBEDDING][2], known.mean(0))


def test_it_can_be_trained_on(more):
    with unchanged_process():
        assert main(["train", "--resume", str(more.folder), "--trainer.max_steps", "4", *QUIET]) == 0
    last = torch.load(more.folder / "checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert list(last["categories"]) == ["brick", "grass", "gravel"]
    assert not torch.equal(last["state_dict"][EMBEDDING][2], last["state_dict"][EMBEDDING][:2].mean(0))


def test_a_run_of_a_list_of_one_can_be_added_to(folder, root):
    with unchanged_process():
        alone = trained(root, folder / "runs", ["brick"], experiment="one")
    assert not [name for name in stored(alone)["state_dict"] if name.startswith("categories.")]
    with unchanged_process():
        assert main(["add", "grass", "--run_folder", str(alone.folder), "--wandb", "disabled"]) == 0
    both = verdicts(Run(alone.folder.parents[1] / "one-grass" / "001"))
    assert {path: both[path] for path in verdicts(alone)} == verdicts(alone)
    assert all(one.verdict is not None for one in both.values())


@pytest.mark.parametrize(
    ("category", "told", "words"),
    [("grass", ["brick", "grass"], "must be a new one, got grass"), ("gravel", "brick", r"got `category: brick`")],
)
def test_what_cannot_be_added_is_refused_in_one_message(tmp_path, category, told, words):
    (tmp_path / "config.yaml").write_text(json.dumps({"data": {"dataset": {"init_args": {"category": told}}}}))
    with pytest.raises(ValueError, match=words):
        added(Run(tmp_path), category)


def test_photographs_without_a_category_are_refused_and_folders_tell_it(run, root, tmp_path):
    inspector, path = Inspector(run), root / "grass/test/bar/000.png"
    found = inspector(path)
    shutil.copy(path, tmp_path / "000.png")
    with pytest.raises(
        ValueError, match=r"`category` of .*000.png is unknown, but the run judges each of brick, grass"
    ):
        inspector(tmp_path / "000.png")
    told = inspector(tmp_path / "000.png", category="grass")
    assert (told.score, told.verdict) == (found.score, found.verdict)
    assert Inspector(run, category="grass")(tmp_path / "000.png").verdict == found.verdict
    assert inspector(path, category="brick").verdict.limit != found.verdict.limit
    with pytest.raises(ValueError, match="must be one of brick, grass, which the run knows, got tile"):
        inspector(path, category="tile")
    with pytest.raises(ValueError, match="must be one of brick, grass, got none"):
        _ = inspector.normal_scores


def test_predict_is_told_as_well(run, root, tmp_path, capsys):
    shutil.copy(root / "grass/test/bar/000.png", tmp_path / "000.png")
    words = ["predict", "--run_folder", str(run.folder), "--output", "-", str(tmp_path / "000.png")]
    with unchanged_process():
        assert main(words) == 1
        assert "Say which it shows (--category" in capsys.readouterr().err
        assert main([*words, "--category", "grass"]) == 0
    assert ",grass," in capsys.readouterr().out


def test_a_checkpoint_of_before_judges_all_alike_until_it_is_validated(run, tmp_path):
    old = tmp_path / "runs/old/001"
    shutil.copytree(run.folder, old)
    content = stored(run)
    del content["categories"]
    content["state_dict"] = {name: one for name, one in content["state_dict"].items() if "categories." not in name}
    for name in ("best", "last"):
        torch.save(content, old / f"checkpoints/{name}.ckpt")
    limit = Inspector(old).limits["limit"]
    assert limit == run.summary["verdicts"]["by_category"]["brick"]["limit"]
    again = evaluated(Run(old))
    assert set(again.summary["verdicts"]["by_category"]) == {"brick", "grass"}
