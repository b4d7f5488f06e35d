"""A page shows the tiles that a run has written, and says of each image what its tables say."""

import json

import pytest
from run_folders import write_tiles, written

from anomaly_diffusion.report.galleries import galleries, within
from anomaly_diffusion.report.image_table import image_table

IMAGES = "path,label,kind,defect_share,score\na/good.png,0,good,0.0,1.5\na/dent.png,1,dent,0.25,3.5\n"
MEASURES = "path,label,kind,score,defect_share,map_far\na/good.png,0,good,1.5,0.0,2.25\n"


@pytest.fixture
def run(tmp_path):
    made = written(tmp_path / "pixel/001", per_image=IMAGES, failures=MEASURES)
    (made.folder / "panels").mkdir()
    named = [("a/dent.png", 3.5, True), ("a/good.png", 1.5, False)]
    shown = [{"panel": "test-001.png", "path": path, "score": score, "label": label} for path, score, label in named]
    (made.folder / "panels/test.json").write_text(json.dumps({"threshold": 1.0, "images": shown}))
    worst = {"false_alarm": [{"path": path, "severity": 2.25} for path in ("a/good.png", "b/unlisted.png")]}
    (made.folder / "failures.json").write_text(json.dumps({"worst": worst}))
    write_tiles(made.folder)
    return made


def test_test_images_come_first_with_their_verdicts_and_then_the_worst_cases(run):
    tests, alarms = galleries(run)
    assert [(slide.result.path, slide.verdict) for slide in tests.slides] == [
        ("a/dent.png", "found"),
        ("a/good.png", "false alarm"),
    ]
    assert tests.slides[0].note == "score 3.50, threshold 1.00"
    assert [slide.note for slide in alarms.slides] == ["map reaches 2.2 sd", "severity 2.25"]
    assert [len(slide.pictures) for slide in alarms.slides] == [3, 3]


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
