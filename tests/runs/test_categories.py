"""Figures of each category, of one model for each and of one for all."""

import pytest
from run_folders import written

from anomaly_diffusion.runs.categories import by_category, category_grid


def run(folder, category, scores):
    """A run with test images (path, label, score)."""
    lines = ["path,label,kind,score", *(f"{path},{label},x,{score}" for path, label, score in scores)]
    config = {"data": {"dataset": {"class_path": "MVTecAD", "init_args": {"root": "x", "category": category}}}}
    return written(folder, {"pixel_ap": 0.5}, config, per_image="\n".join(lines) + "\n")


ALONE = [
    ("test/good/0.png", 0, 1.0),
    ("test/good/1.png", 0, 2.0),
    ("test/dent/0.png", 1, 1.5),
    ("test/dent/1.png", 1, 3.0),
]


def within(category, shift, scores=ALONE):
    return [(f"{category}/{path}", label, score + shift) for path, label, score in scores]


def test_categories_of_one_model_are_not_compared_with_each_other(tmp_path):
    both = run(tmp_path / "all/seed0", ["tile", "screw"], within("tile", 0) + within("screw", 100))
    assert by_category(both) == {"tile": 0.75, "screw": 0.75}
    assert by_category(run(tmp_path / "padim-tile/seed0", "tile", ALONE)) == {"tile": 0.75}


def test_experiments_that_differ_in_their_category_are_one_method(tmp_path):
    better = [*ALONE[:2], ("test/dent/0.png", 1, 2.5), ALONE[3]]
    groups = {
        "padim-tile": [run(tmp_path / f"padim-tile/{seed}", "tile", ALONE if seed else better) for seed in range(2)],
        "padim-mvtec_ad-screw": [run(tmp_path / "padim-mvtec_ad-screw/0", "screw", ALONE)],
        "padim-screw": [run(tmp_path / "padim-screw/0", "screw", better)],
        "one": [run(tmp_path / "one/0", ["screw", "tile"], within("screw", 0, better) + within("tile", 9, better))],
    }
    grid = category_grid(groups)
    assert grid.heads == ["image AUROC", "padim", "padim-mvtec_ad", "one"]
    assert list(grid.rows) == [
        ["screw", "1.000", "0.750", "1.000"],
        ["tile", "0.875 ± 0.177", "-", "1.000"],
        ["mean", "0.938", "-", "1.000"],
    ]
    assert grid.best == {(0, 1), (0, 3), (1, 3), (2, 3)}


def test_images_of_no_category_are_refused(tmp_path):
    with pytest.raises(ValueError, match="test images outside of the folders tile, screw"):
        by_category(run(tmp_path / "all/0", ["tile", "screw"], within("tile", 0) + ALONE))
