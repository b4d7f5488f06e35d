import json
import math

import numpy as np
import pytest

from anomaly_diffusion.analysis.files import kind_of, safe_name, write, write_json


def test_numbers_that_are_not_finite_become_null(tmp_path):
    content = {"a": math.nan, "b": {"c": [math.inf, 1.5, np.float32(2)]}, "d": None, "e": "NaN"}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": None,
        "b": {"c": [None, 1.5, 2.0]},
        "d": None,
        "e": "NaN",
    }


def test_a_failed_write_leaves_the_old_file_whole(tmp_path):
    write(tmp_path / "deep" / "x.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "deep" / "x.txt", "new \ud800")
    assert (tmp_path / "deep" / "x.txt").read_text() == "old"


def test_writing_leaves_no_other_file_behind(tmp_path):
    write(tmp_path / "x.txt", "1")
    write(tmp_path / "x.txt", "2")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("test/big dent/7.png", "test-big_dent-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\parts\\a:b?.tiff", "C_-parts-a_b_"),
        ("/absolute/ü 1.JPG", "absolute-ü_1"),
        ("a.b/v1.2.png", "a.b-v1.2"),
        ("..", "image"),
    ],
)
def test_any_path_becomes_one_harmless_file_name(path, name):
    assert safe_name(path) == name


def test_the_kind_of_a_defect_is_its_folder():
    assert kind_of("test/scratch/1.png", True) == "scratch"
    assert kind_of("test/scratch/1.png", False) == "good"
    assert kind_of("1.png", True) == "defect"
