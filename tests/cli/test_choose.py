"""`choose` of a tiny run: the same defects under each setting, a table, a verdict, and what is refused."""

import pytest
import yaml

from anomaly_diffusion.api import train
from anomaly_diffusion.cli.choose import Setting, choice_among
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.runs import painted_defects
from anomaly_diffusion.runs.painted_defects import PaintedDefect, as_csv

SMALL = {
    "trainer.max_steps": 2,
    "trainer.val_check_interval": 2,
    "model.init_args.backbone.init_args.width": 8,
    "data.image_size": [32, 32],
    "data.batch_size": 16,
    "data.dataset.init_args.train": 8,
    "data.dataset.init_args.validation": 8,
    "data.dataset.init_args.test": 4,
    "data.validation.families": ["Crack", "Pit"],
    "panels.count": 1,
    "failures.worst": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("model/pixel.yaml", settings=SMALL | {"runs_dir": tmp_path_factory.mktemp("runs")})


def test_a_choice_is_made_on_the_same_defects(run, tmp_path, capsys):
    overlay = tmp_path / "squares.yaml"
    overlay.write_text("model: {init_args: {scoring: {residuals: [L2Residual]}}}\n")
    assert main(["choose", str(run.folder), "--among", str(overlay), "--paintings", "20"]) == 0
    said = capsys.readouterr().out
    assert "squares** |" in said
    assert "crack" in said
    assert "pit" in said
    assert any(words in said for words in ("keep pixel", "validation cannot tell", "squares: "))
    evaluations = sorted((run.folder / "evaluations").iterdir())
    first, second = (painted_defects.read(folder) for folder in evaluations)
    assert [defect[:2] for defect in first] == [defect[:2] for defect in second]
    assert len(first) == 160


def test_depths_are_looked_for_and_what_they_copy_is_told(run, capsys):
    assert main(["choose", str(run.folder), "--depths", "0.1", "1.5", "--paintings", "20"]) == 0
    said = capsys.readouterr().out
    head, *rows = [line for line in said.splitlines() if line.startswith("|")]
    assert "copied" in head
    told = {
        name: next(row for row in rows if name in row).split("|")[-2].strip() for name in ("depth 0.1", "depth 1.5")
    }
    assert all(one.endswith("of 160") for one in told.values())
    shallow, deep = (int(told[name].split()[0]) for name in ("depth 0.1", "depth 1.5"))
    assert shallow >= deep
    settings = [folder for folder in (run.folder / "evaluations").iterdir() if (folder / "config.yaml").is_file()]
    depths = [yaml.safe_load((folder / "config.yaml").read_text())["model"]["init_args"] for folder in settings]
    assert {tuple(one["reconstruction"]["init_args"]["depths"]) for one in depths} >= {(0.1,), (1.5,)}


def test_the_command_that_a_choice_ends_with_tests_that_depth(run):
    before = set((run.folder / "evaluations").glob("*"))
    assert main(["test", "--run_folder", str(run.folder), *Setting(depths=(1.5,)).words]) == 0
    (new,) = set((run.folder / "evaluations").iterdir()) - before
    config = yaml.safe_load((new / "config.yaml").read_text())
    assert config["model"]["init_args"]["reconstruction"]["init_args"]["depths"] == [1.5]


def test_a_trained_run_tells_how_its_defects_were_found(run):
    defects = painted_defects.read(run.folder)
    assert len(defects) == 8
    assert {defect.family for defect in defects} <= {"crack", "pit"}
    assert all(0 <= defect.pixel_ap <= 1 for defect in defects)


def written(folder, figures, path="a.png"):
    folder.mkdir()
    defects = [PaintedDefect(path, "pit", figure) for figure in figures]
    (folder / "painted.csv").write_text(as_csv(defects))
    return folder


def test_seeds_of_a_setting_are_averaged(tmp_path):
    low, high = (written(tmp_path / name, [figure] * 70) for name, figure in (("low", 0.2), ("high", 0.4)))
    other = written(tmp_path / "other", [0.35] * 70)
    choice = choice_among({"default": [low, high], "other": [other]}, "default")
    assert choice.means == {"default": {"pit": pytest.approx(0.3)}, "other": {"pit": pytest.approx(0.35)}}


def test_other_defects_are_refused(tmp_path):
    first, second = written(tmp_path / "first", [0.2]), written(tmp_path / "second", [0.2], path="b.png")
    with pytest.raises(ValueError, match="other painted defects"):
        choice_among({"default": [first], "other": [second]}, "default")
    with pytest.raises(FileNotFoundError, match=r"holds no painted\.csv\. Validate it"):
        choice_among({"default": [first], "other": [tmp_path]}, "default")


def test_a_run_is_no_other_setting_than_its_own(run, capsys):
    assert main(["choose", str(run.folder), "--among", str(run.folder)]) != 0
    assert "`--among` must name other settings than the run's own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--among", "nowhere.yaml"), "nowhere.yaml does not exist"),
        (("--among", "no_run"), "`--among`: `no_run` is no run folder"),
        (("--among", "ddim.yaml", "--paintings", "0"), "`--paintings` must be at least 1, got 0."),
        (("--among", "ablation/ddim.yaml", "ablation/ddim.yaml"), "`--among` must name each setting once"),
        (("--depths", "1", "0"), "`--depths` must be positive and finite, got 1.0 0.0."),
        (("--depths", "1", "1.0"), "`--depths` must name each depth once"),
        ((), "name what to choose among: --among SETTING..., or --depths DEPTH..."),
    ],
)
def test_what_cannot_be_chosen_is_refused(run, capsys, words, told):
    assert main(["choose", str(run.folder), *words]) != 0
    assert told in capsys.readouterr().err
