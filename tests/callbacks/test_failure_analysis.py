import csv
import json
from dataclasses import replace

import cv2
import pytest
import torch
from toy_detector import Limit, ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.failure_analysis import FailureAnalysis
from anomaly_diffusion.figures.canvas import RIM
from anomaly_diffusion.figures.contact_sheet import GAP, TEXT
from anomaly_diffusion.files import safe_name
from anomaly_diffusion.measures.failures import FAILURES

TEST = ToyImages(24, seed=2)
NEEDS_NO_PICTURE = {"missed_defect", "false_alarm"}


class Copier(ToyDetector):
    """Gives back what it was shown."""

    def judge(self, batch):
        prediction = super().judge(batch)
        return replace(prediction, reconstruction=batch.image[:, None].expand_as(prediction.reconstruction))


class FalseColours(ToyDetector):
    """Shows colours that are no photograph."""

    class codec:
        photographs = False


def analysed(folder, detector=None, images=TEST, batch_size=5, limit=None, **options):
    judges = [Limit(*limit)] if limit else []
    run = trainer(folder, *judges, FailureAnalysis(**{"margin": 2, "worst": 2, **options}))
    run.test(detector or ToyDetector(), images.loader(batch_size), verbose=False)
    rows = list(csv.DictReader((folder / "failures.csv").read_text().splitlines()))
    return rows, json.loads((folder / "failures.json").read_text(), parse_constant=pytest.fail)


ALL, NONE, ASTRAY = (-1.0,), (1e9,), (-1.0, False)  # limits that call all or no images defective, or all elsewhere


def pictures(folder):
    return {path.stem for path in (folder / "failures").glob("*")}


def test_every_image_has_a_line_and_every_failure_that_there_is_a_picture(tmp_path):
    rows, report = analysed(tmp_path, limit=ASTRAY)
    assert [row["path"] for row in rows] == sorted(map(TEST.path, range(24)))
    there = {name for name, failed in report["failed"].items() if failed["count"]}
    assert pictures(tmp_path) == there >= {"over_smoothing", "hallucination", "missed_defect", "false_alarm"}
    assert set(report["failed"]) == {failure.name for failure in FAILURES}
    assert report["failed"]["false_alarm"] == report["failed"]["missed_defect"] == {"count": 12, "of": 12}
    assert (report["normal"]["count"], report["defective"]["count"]) == (12, 12)
    assert report["depth"] == 1.0  # the middle one of two
    assert report["normal"]["retained_fine"]["largest"] < 0.01  # one number everywhere has no structure


def test_what_was_found_in_its_place_is_not_missed_and_what_passed_is_no_false_alarm(tmp_path):
    _, report = analysed(tmp_path / "all", limit=ALL)
    assert report["failed"]["missed_defect"] == {"count": 0, "of": 12}
    assert "missed_defect" not in pictures(tmp_path / "all")
    _, report = analysed(tmp_path / "none", limit=NONE)
    assert (report["failed"]["missed_defect"]["count"], report["failed"]["false_alarm"]["count"]) == (12, 0)
    assert "false_alarm" not in pictures(tmp_path / "none")


def test_without_a_limit_nothing_is_missed_or_a_false_alarm(tmp_path):
    _, report = analysed(tmp_path)
    assert report["failed"]["missed_defect"] == report["failed"]["false_alarm"] == {"count": 0, "of": 0}
    assert not pictures(tmp_path) & NEEDS_NO_PICTURE


def test_a_picture_of_a_test_before_goes_where_there_is_no_case_any_more(tmp_path):
    analysed(tmp_path, limit=ALL)
    assert "false_alarm" in pictures(tmp_path)
    analysed(tmp_path, limit=NONE)
    assert "false_alarm" not in pictures(tmp_path)


def test_a_copy_keeps_all_power_at_every_depth(tmp_path):
    rows, report = analysed(tmp_path, Copier())
    assert {row["hallucination"] for row in rows} == {"0.0"}
    shares = [share for kept in report["spectra"]["retained"].values() for share in kept.values()]
    assert list(report["spectra"]["retained"]) == ["depth 0.5", "depth 1", "codec alone"]
    assert shares == [1] * len(shares)


def test_the_worst_cases_are_those_of_the_table(tmp_path):
    rows, report = analysed(tmp_path, worst=3, limit=ASTRAY)
    normal, defects = ([row for row in rows if row["label"] == label] for label in "01")
    far = sorted(normal, key=lambda row: float(row["map_far"]), reverse=True)
    assert [case["path"] for case in report["worst"]["false_alarm"]] == [row["path"] for row in far[:3]]
    faint = sorted(defects, key=lambda row: float(row["map_contrast"]))
    assert [case["path"] for case in report["worst"]["missed_defect"]] == [row["path"] for row in faint[:3]]


def test_every_worst_case_has_its_tiles(tmp_path):
    _, report = analysed(tmp_path)
    names = {safe_name(case["path"]) for kept in report["worst"].values() for case in kept}
    assert {folder.name for folder in (tmp_path / "tiles").iterdir()} == names
    assert {len(list(folder.iterdir())) for folder in (tmp_path / "tiles").iterdir()} == {4}


def test_the_report_does_not_depend_on_the_batch_size(tmp_path):
    found = [analysed(tmp_path / str(size), batch_size=size)[1] for size in (1, 24)]
    paths = [{name: [case["path"] for case in kept] for name, kept in one["worst"].items()} for one in found]
    assert paths[0]["false_alarm"] == paths[1]["false_alarm"]
    for part in ("normal", "defective"):
        for name, spread in found[0][part].items():
            expected = pytest.approx(spread, rel=1e-3, abs=1e-5) if spread else None
            assert found[1][part][name] == expected, name
    power = [one["spectra"]["power"] for one in found]
    for name, values in power[0].items():
        assert power[1][name] == pytest.approx(values, rel=1e-3, abs=1e-7)


def test_false_colours_are_judged_by_their_maps_alone(tmp_path):
    rows, report = analysed(tmp_path, FalseColours(), limit=ASTRAY)
    assert pictures(tmp_path) == NEEDS_NO_PICTURE
    assert {row["psnr"] for row in rows} == {row["hallucination"] for row in rows} == {""}
    assert report["photographs"] is False
    assert report["spectra"] is None
    assert report["normal"]["map_far"]["mean"] > 0
    assert not (tmp_path / "spectra.png").exists()


def test_recall_by_size_and_contrast_is_that_of_the_verdicts(tmp_path):
    _, without = analysed(tmp_path / "without")
    assert {one["recall"] for one in without["found"]["by_size"]} == {None}
    _, report = analysed(tmp_path / "with", limit=ALL)
    for classes in report["found"].values():
        assert sum(one["count"] for one in classes) == 12
        assert {one["recall"] for one in classes} == {1.0}


def test_a_test_set_without_normal_images_has_no_spectra_and_no_warning(tmp_path):
    defects = ToyImages(24, seed=2)
    defects.label[:] = True
    _, report = analysed(tmp_path, images=defects)
    assert report["spectra"] is None
    assert report["normal"]["psnr"] is None
    assert "over_smoothing" not in pictures(tmp_path)


def test_a_second_test_begins_anew(tmp_path):
    run, detector = trainer(tmp_path, FailureAnalysis(worst=2)), ToyDetector()
    for _ in range(2):
        run.test(detector, TEST.loader(), verbose=False)
    assert len((tmp_path / "failures.csv").read_text().splitlines()) == 25


def test_a_picture_shows_as_many_cases_as_asked_for(tmp_path):
    heights = []
    for worst in (1, 2):
        analysed(tmp_path / str(worst), worst=worst, limit=ALL)
        heights.append(cv2.imread(str(tmp_path / str(worst) / "failures" / "false_alarm.png")).shape[0])
    assert heights[1] - heights[0] == 150 + RIM + TEXT + GAP


def test_padding_is_no_part_of_what_is_kept(tmp_path):
    padded = ToyImages(24, seed=2)
    plain = padded.batch
    padded.batch = lambda indices: plain(indices)._replace(valid=torch.arange(16).expand(len(indices), 1, 16, 16) < 12)
    rows, _ = analysed(tmp_path, images=padded)
    assert all(float(row["defect_share"]) in (0.0, pytest.approx(16 / 192)) for row in rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"worst": 0}, "`worst` must be at least 1"), ({"margin": -1}, "`margin` must"), ({"limit": 0.0}, "`limit` must")],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FailureAnalysis(**options)
