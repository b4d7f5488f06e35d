"""Detection limits of several runs in one chart: every run that has them is on it, the rest is named."""

import json

import cv2
import numpy as np
import pytest
import yaml

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.figures.detection_sets_chart import detection_sets_chart
from anomaly_diffusion.runs.detection_panels import DetectionMark, DetectionPanel, detection_panels
from anomaly_diffusion.runs.record import RunRecord, grouped

WIDTHS = [0.01, 0.02, 0.04, 0.08]


def make_run(folder, category="tile", model="PaDiM", families=None):
    folder.mkdir(parents=True)
    dataset = {"class_path": "anomaly_diffusion.MVTecAD", "init_args": {"root": "x", "category": category}}
    config = {"model": {"class_path": f"anomaly_diffusion.{model}"}, "data": {"dataset": dataset}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "summary.json").write_text(json.dumps({"test_set": category, "pixel_ap": 0.5}))
    if families is not None:
        (folder / "detection_limit.json").write_text(json.dumps({"widths": WIDTHS, "families": families}))
    return RunRecord(folder)


def family(hits, **curve):
    return {"defects": [{"width": width, "found": hit} for width, hit in zip(WIDTHS, hits, strict=True)], **curve}


def panels_of(*runs):
    return detection_panels(grouped(runs, lambda run: run.group))


def test_a_panel_for_each_set_and_a_mark_for_each_run_and_family(tmp_path):
    families = {"crack": family([0, 0, 1, 1], a90=0.03, a90_95=0.05), "pit": family([0, 0, 0, 1], a90=0.2, a90_95=0.4)}
    runs = [
        make_run(tmp_path / "padim-tile/0", families=families),
        make_run(tmp_path / "patchcore-tile/0", model="PatchCore", families={**families, "stain": {"defects": []}}),
        make_run(tmp_path / "padim-screw/0", "screw", families={"crack": family([1, 1, 1, 1])}),
    ]
    tile, screw = panels_of(*runs)
    assert (tile.title, screw.title, tile.widths) == ("tile", "screw", WIDTHS)
    assert tile.marks == [
        DetectionMark("crack", method, 0.5, 0.03, 0.05) if name == "crack" else DetectionMark("pit", method, 0.25)
        for method in ("PaDiM", "PatchCore")
        for name in ("crack", "pit")
    ]
    assert screw.marks == [DetectionMark("crack", "PaDiM", 1.0)]


def test_groups_of_one_model_keep_their_own_names(tmp_path):
    runs = [make_run(tmp_path / f"{name}/0", families={"crack": family([1, 1, 1, 1])}) for name in ("a", "b")]
    (panel,) = panels_of(*runs)
    assert [mark.method for mark in panel.marks] == ["a", "b"]


def test_every_mark_is_drawn():
    marks = [DetectionMark("crack", "PaDiM", 0.5, 0.03, 0.05), DetectionMark("pit", "PaDiM", 0.1)]
    panel = DetectionPanel("tile", WIDTHS, marks)
    drawn = picture(detection_sets_chart([panel]))
    fewer = picture(detection_sets_chart([DetectionPanel("tile", WIDTHS, marks[:1])]))
    assert drawn.shape[0] > fewer.shape[0]
    with pytest.raises(ValueError, match="7 methods"):
        detection_sets_chart([DetectionPanel("tile", WIDTHS, [DetectionMark("pit", str(n), 0.1) for n in range(8)])])


def picture(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_the_command_names_runs_without_detection_limits(tmp_path, capsys):
    make_run(tmp_path / "padim/0", families={"crack": family([0, 1, 1, 1], a90=0.02, a90_95=0.03)})
    make_run(tmp_path / "patchcore/0", model="PatchCore")
    runs, chart = [str(tmp_path / name) for name in ("padim", "patchcore")], tmp_path / "found.png"
    assert main(["compare", *runs, "--detection_chart", "found.jpg"]) == 2
    assert main(["compare", *runs, "--detection_chart", str(chart)]) == 0
    assert "patchcore/0 (no detection_limit.json)" in capsys.readouterr().err
    assert cv2.imread(str(chart)) is not None
    assert main(["compare", str(tmp_path / "patchcore"), "--detection_chart", str(chart)]) == 1
    assert "anomaly-diffusion detection_limit --run_folder" in capsys.readouterr().err
