"""A page shows the tiles that a run has written, and says of each image what its tables say."""

import json

import pytest
from run_folders import write_tiles, written

from anomaly_diffusion.report.galleries import galleries, within
from anomaly_diffusion.report.image_table import image_table
from anomaly_diffusion.runs.record import RunRecord

IMAGES = (
    "path,label,kind,defect_share,score,verdict,limit\n"
    "a/good.png,0,good,0.0,1.5,defective,1.0\na/dent.png,1,dent,0.25,3.5,defective,1.0\n"
)
MEASURES = "path,label,kind,score,defect_share,map_far\na/good.png,0,good,1.5,0.0,2.25\n"


@pytest.fixture
def run(tmp_path):
    made = written(tmp_path / "pixel/001", per_image=IMAGES, failures=MEASURES)
    (made.folder / "panels").mkdir()
    named = [("a/dent.png", 3.5, True), ("a/good.png", 1.5, False)]
    shown = [{"panel": "test-001.png", "path": path, "score": score, "label": label} for path, score, label in named]
    (made.folder / "panels/test.json").write_text(json.dumps({"images": shown}))
    worst = {"false_alarm": [{"path": path, "severity": 2.25} for path in ("a/good.png", "b/unlisted.png")]}
    (made.folder / "failures.json").write_text(json.dumps({"worst": worst}))
    write_tiles(made.folder)
    return made


def test_test_images_come_first_with_their_verdicts_and_then_the_worst_cases(run):
    tests, alarms = galleries(run)
    assert [(slide.result.path, slide.verdict) for slide in tests.slides] == [
        ("a/dent.png", "✓ found"),
        ("a/good.png", "✗ false alarm"),
    ]
    assert tests.slides[0].note == "score 3.50, limit 1.00"
    assert [slide.note for slide in alarms.slides] == ["map reaches 2.2 sd", "severity 2.25"]
    assert [len(slide.pictures) for slide in alarms.slides] == [3, 3]


def test_a_method_of_features_slides_into_normal_features(run):
    for path in ("a/dent.png", "a/good.png"):
        tile = run.tile(path, "reconstruction")
        tile.rename(tile.with_name("normal_features.png"))
    tests, _ = galleries(run)
    assert [list(slide.pictures) for slide in tests.slides] == [["image", "normal_features", "anomaly_map"]] * 2


def test_a_run_without_verdicts_says_none_and_is_told_to_lack_them(run):
    assert "verdicts" not in run.missing
    (run.folder / "per_image.csv").write_text(IMAGES.replace("defective,1.0", ",").replace("verdict,limit", "a,b"))
    older = RunRecord(run.folder)
    assert [slide.verdict for slide in galleries(older)[0].slides] == ["", ""]
    assert "verdicts" in older.missing


def test_failures_say_how_many_there_are(run):
    report = json.loads((run.folder / "failures.json").read_text()) | {"failed": {"false_alarm": {"count": 2, "of": 9}}}
    (run.folder / "failures.json").write_text(json.dumps(report))
    assert galleries(RunRecord(run.folder))[1].note.endswith(": 2 of 9")


def test_an_image_without_all_its_tiles_is_not_shown(run):
    run.tile("a/dent.png", "anomaly_map").unlink()
    run.tile("b/unlisted.png", "image").write_bytes(b"no picture")
    assert [[slide.result.path for slide in gallery.slides] for gallery in galleries(run)] == [["a/good.png"]] * 2


def test_of_too_many_pictures_the_first_of_each_gallery_stay(run):
    found = galleries(run)
    least = found[0].slides[0].bytes_in_page + found[1].slides[0].bytes_in_page
    assert [len(gallery.slides) for gallery in within(10 * least, found)] == [2, 2]
    assert [len(gallery.slides) for gallery in within(0, found)] == [0, 0]


def test_the_table_of_images_joins_what_both_files_say(run):
    table = image_table([run])
    assert [column.name for column in table.columns] == ["score", "defect_share", "map_far"]
    assert [(line.result.path, line.verdict, list(line.numbers)) for line in table.lines] == [
        ("a/good.png", "false alarm", ["1.500", "0.00", "2.25"]),
        ("a/dent.png", "found", ["3.500", "25.00", "-"]),
    ]
    assert table.judged
