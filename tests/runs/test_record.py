"""A run is what its folder holds."""

import json
import math

import pytest
from run_folders import written

from anomaly_diffusion import files
from anomaly_diffusion.runs.display import comparison
from anomaly_diffusion.runs.record import Run


@pytest.fixture
def run(tmp_path) -> Run:
    folder = tmp_path / "pixel" / "001"
    folder.mkdir(parents=True)
    summary = {"pixel_ap": 0.25, "aupro": None, "controls": {"mean_image": {"pixel_ap": 0.125}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "failures.json").write_text(json.dumps({"normal": {"psnr": {"mean": 30.0}, "ssim": None}}))
    (folder / "depths.csv").write_text("depth,pixel_ap,name\n0.5,0.25,half\n1.0,,whole\n")
    return Run(folder)


def test_figures_have_dotted_names(run) -> None:
    assert run.figures["pixel_ap"] == run.summary["pixel_ap"] == 0.25
    assert run.figures["controls.mean_image.pixel_ap"] == 0.125
    assert run.figures["failures.normal.psnr.mean"] == 30.0
    lines = comparison({"one": run}, {"pixel_ap": "AP", "aupro": "AUPRO"}, digits=1)._repr_markdown_().splitlines()
    assert lines[2] == "| one | 0.2 | - |"


def test_numbers_of_a_table_are_numbers(run) -> None:
    assert run.rows("depths.csv")[0] == {"depth": 0.5, "pixel_ap": 0.25, "name": "half"}
    assert run.rows("depths.csv")[1]["pixel_ap"] == ""


def test_what_is_absent_is_told_beside_what_there_is(run) -> None:
    with pytest.raises(FileNotFoundError, match=r"Run pixel/001 holds no images.csv. It holds: depths.csv"):
        run.rows("images.csv")
    with pytest.raises(FileNotFoundError, match=r"holds no panels/test.png. It holds: no file of this kind"):
        run.picture("panels/test.png")


def test_a_run_says_no_more_of_its_place_than_its_name(run) -> None:
    assert repr(run) == "Run pixel/001"


def test_an_evaluation_belongs_to_its_run(tmp_path) -> None:
    run = written(tmp_path / "pixel/001")
    changed, again = (written(run.folder / "evaluations" / name) for name in ("guided-001", "002"))
    assert (run.group, run.name) == ("pixel", "001")
    assert (changed.group, changed.name, changed.source.name) == ("pixel: guided", "001/guided-001", "001")
    assert (again.group, again.name) == ("pixel: tested again", "001/002")


def test_results_have_the_measures_of_their_own_table(tmp_path) -> None:
    images = "path,label,kind,score,map_max\na.png,0,good,0.5,\nb.png,1,dent,1.5,2.5\n"
    run = written(tmp_path, per_image=images, failures="path,label,kind,score,psnr\nb.png,1,dent,1.5,30\n")
    first, second = run.results
    assert (first.path, first.label, first.score, second.label) == ("a.png", 0, 0.5, 1)
    assert math.isnan(first.map_max)
    assert run.measured["b.png"].number("psnr") == 30.0
    assert run.test_set == files.names_hash(["b.png", "a.png"])
    assert set(run.missing) == {"failures.json", "panels/test.png", "tiles/", "depths.csv", "verdicts"}


@pytest.mark.parametrize(
    ("name", "content", "read", "told"),
    [
        ("per_image.csv", "path,label,score\na,0,much\n", "results", "a score that is no number: 'much'"),
        ("per_image.csv", "path,label,score\na,0,\n", "results", "a score that is no number: ''"),
        ("per_image.csv", "path,label\na,0\n", "results", "no column score"),
        ("depths.csv", "depth\nshallow\n", "depths", "a cell that is no number"),
        ("summary.json", '{"pixel_ap": "high"}', "summary", "`pixel_ap` in .* must be a number, got 'high'"),
        ("summary.json", '{"controls": {"brightness": 1}}', "summary", "`controls.brightness` in .* must hold keys"),
        ("panels/test.json", '{"images": [{"path": "a"}]}', "shown", "an image without label, score"),
        ("panels/test.json", '{"images": {"a": 1}}', "shown", "`images` in .* must list the images"),
        ("config.yaml", "data: [1]", "data_set", "`data` in .* must hold keys with values, got list"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content, read, told) -> None:
    run = written(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=told) as error:
        getattr(run, read)
    assert name in str(error.value)


def test_a_run_without_results_is_told_how_to_get_some(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"has no test results\. Test it: anomaly-diffusion test --run_folder"):
        written(tmp_path).tested()
