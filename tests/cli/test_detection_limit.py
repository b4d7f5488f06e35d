"""`detection_limit` of a tiny run: files, sentences, determinism, and what is refused."""

import json

import pytest
import torch

from anomaly_diffusion.api import train
from anomaly_diffusion.cli.main import main

SMALL = {
    "trainer.max_steps": 2,
    "trainer.val_check_interval": 2,
    "model.init_args.backbone.init_args.width": 8,
    "data.image_size": [32, 32],
    "data.batch_size": 16,
    "data.dataset.init_args.train": 8,
    "data.dataset.init_args.validation": 8,
    "data.dataset.init_args.test": 4,
    "panels.count": 1,
    "failures.worst": 1,
}
WORDS = ("--families", "crack", "pit", "--widths", "0.04", "0.12", "0.3", "--contrasts", "2", "8", "--defects", "60")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("model/pixel.yaml", settings=SMALL | {"runs_dir": tmp_path_factory.mktemp("runs")})


def limit(run, *words):
    assert main(["detection_limit", "--run_folder", str(run.folder), *WORDS, *words]) == 0
    return json.loads((run.folder / "detection_limit.json").read_text())


def test_the_run_folder_gets_the_limit_and_its_chart(run, capsys):
    found = limit(run, "--false_alarms", "0.2")
    assert (run.folder / "detection_limit.png").read_bytes().startswith(b"\x89PNG")
    assert list(found["families"]) == ["crack", "pit"]
    said = capsys.readouterr().out
    for family in found["families"].values():
        assert family["sentence"] in said
        assert 50 <= len(family["defects"]) <= 60
        widths = [defect["width"] for defect in family["defects"]]
        assert min(widths) < 0.1 < max(widths)
        assert {defect["path"].split("/")[1] for defect in family["defects"]} == {"validation"}
    assert found["real"]
    assert 0.1 < found["false_alarms"] <= 0.2
    assert limit(run, "--false_alarms", "0.2") == found
    assert limit(run, "--false_alarms", "0.2", "--seed", "1") != found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--families", "crak"), "Did you mean `crack`?"),
        (("--defects", "59"), "`--defects` must be at least 60 of each family (MIL-HDBK-1823A), got 59."),
        (("--widths", "0", "0.1"), "`--widths` must be positive, widths below 1"),
        (("--false_alarms", "1.5"), "`false_alarms` must lie in (0, 1), got 1.5"),
    ],
)
def test_what_cannot_be_painted_is_refused_in_a_message(run, capsys, words, told):
    assert main(["detection_limit", "--run_folder", str(run.folder), *words]) != 0
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error


def test_a_run_without_normal_scores_is_told_to_go_on(run, tmp_path, capsys):
    old = tmp_path / "runs" / "old" / "001"
    (old / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "split.json"):
        (old / name).write_bytes((run.folder / name).read_bytes())
    checkpoint = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    weights = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: weights[name] for name in weights if not name.startswith("normal_scores.")}
    torch.save(checkpoint, old / "checkpoints" / "best.ckpt")
    assert main(["detection_limit", "--run_folder", str(old)]) == 1
    assert "holds no scores of normal photographs" in capsys.readouterr().err
