import json
import math
import re

import numpy as np
import pytest
import torch
from analytic import image_batch

from anomaly_diffusion.files import names_hash, safe_name, write, write_json


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


PLAIN = {"7.png": "7", "test/dent/7.png": "test-dent-7", "test/dent/7.jpg": "test-dent-7.jpg", "ü/x_1.BMP": "ü-x_1.BMP"}


@pytest.mark.parametrize("path", PLAIN)
def test_a_plain_path_becomes_a_plain_file_name(path):
    assert safe_name(path) == PLAIN[path]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("test/big dent/7.png", "test-big_dent-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\parts\\a:b?.tiff", "C_-parts-a_b_.tiff"),
        ("/absolute/ü 1.JPG", "absolute-ü_1.JPG"),
        ("a.b/v1.2.png", "a.b-v1.2"),
        ("odd \udc80.png", "odd_"),
        ("test/dent-7.png", "test-dent-7"),
        ("..", "image"),
    ],
)
def test_any_other_path_becomes_a_harmless_file_name_with_a_hash(path, name):
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{8}", safe_name(path))


ALIKE = [
    *(
        "part 1.png",
        "part_1.png",
        "part 1.jpg",
        "part 1.bmp",
        "part_1.jpg",
        "part-1.png",
        "part/1.png",
        "part 1",
        "part_1",
    ),
    *("a/b.png", "a-b.png", "a/b", "a//b.png", "a/./b.png", "/a/b.png", "a\\b.png", "a b.png", "a_b.png", "a:b.png"),
    *("x.png", "x.png.png", "x.jpg", "x.jpg.png", ".x.png", "x", "x.PNG", "v1.2.png", "v1.2"),
    *(f"{'ü' * 200}{end}.png" for end in ("", "1", "2")),
    *(f"{start}{'l' * 300}.png" for start in ("a", "b")),
]


def test_no_two_paths_become_one_file(tmp_path):
    names = {safe_name(path) for path in ALIKE}
    assert len(names) == len(ALIKE)
    for name in names:
        write(tmp_path / f"{name}.tiff", "")
    assert len(list(tmp_path.iterdir())) == len(ALIKE)


def test_a_set_of_names_has_one_hash_whatever_its_order():
    names = ["test/dent/1.png", "test/good/0.png", "\udcff.png"]
    assert names_hash(names) == names_hash(reversed(names))
    assert re.fullmatch("[0-9a-f]{16}", names_hash(names))
    assert len({names_hash(some) for some in (names, names[:2], ["a", "b"], ["ab"], [])}) == 5


def test_the_kind_of_a_defect_is_what_the_data_set_says_and_no_guess_from_its_folder():
    batch = image_batch(3)._replace(path=["test/a/1.png", "test/b/2.png", "test/scratch/monday/3.png"])
    assert batch.kinds == ["good", "good", "defect"]
    assert batch._replace(kind=["good", "good", "scratch"]).kinds == ["good", "good", "scratch"]


def test_chosen_rows_keep_their_kind():
    batch = image_batch(3)._replace(kind=["a", "b", "c"])
    assert batch.rows(torch.tensor([2, 0])).kind == ["c", "a"]
    assert image_batch(3).rows(torch.tensor([2])).kind == []
