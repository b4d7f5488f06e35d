"""A run is what its folder holds."""

import json

import pytest

from anomaly_diffusion.runs.run import Run, comparison


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
