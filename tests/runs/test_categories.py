"""Figures of each category, of one model for each and of one for all."""

import pytest
from run_folders import written

from anomaly_diffusion.runs.categories import by_category, category_grid, category_grids, of_one_run


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


def noted(folder, category, summary):
    made = run(folder, category, within("tile", 0) + within("screw", 9) if isinstance(category, list) else ALONE)
    return written(folder, summary, made.config, per_image=(folder / "per_image.csv").read_text())


def test_each_figure_that_is_noted_has_a_table_with_the_mean(tmp_path):
    within_both = {"tile": {"pixel_ap": 0.5, "aupro": None}, "screw": {"pixel_ap": 0.7, "aupro": None}}
    groups = {
        "one": [noted(tmp_path / "one/0", ["tile", "screw"], {"pixel_ap": 0.1, "by_category": within_both})],
        "padim-tile": [noted(tmp_path / "padim-tile/0", "tile", {"pixel_ap": 0.6})],
        "padim-screw": [noted(tmp_path / "padim-screw/0", "screw", {"pixel_ap": 0.4})],
    }
    first, second = category_grids(groups)
    assert first.heads == ["image AUROC", "one", "padim"]
    assert second.heads == ["pixel AP", "one", "padim"]
    assert list(second.rows) == [["screw", "0.700", "0.400"], ["tile", "0.500", "0.600"], ["mean", "0.600", "0.500"]]
    assert second.best == {(0, 1), (1, 2), (2, 1)}


def test_a_category_is_told_by_its_column_where_paths_do_not(tmp_path):
    made = run(tmp_path / "all/0", ["tile", "screw"], ALONE)
    rows = [
        f"{path},{label},x,{score + shift},{name}"
        for name, shift in (("tile", 0), ("screw", 9))
        for path, label, score in ALONE
    ]
    text = "\n".join(["path,label,kind,score,category", *rows]) + "\n"
    assert by_category(written(made.folder, {}, made.config, per_image=text)) == {"tile": 0.75, "screw": 0.75}


def test_a_run_on_several_says_what_each_finds_and_the_mean_of_all():
    def said(found, alarms, limit):
        rates = {"found": {"hits": found, "total": 4, "share": found / 4}}
        return rates | {"false_alarms": {"hits": alarms, "total": 10, "share": alarms / 10}, "limit": limit}

    figures = {"tile": {"image_auroc": 0.8, "aupro": None}, "screw": {"image_auroc": 0.9, "aupro": 0.5}}
    verdicts = {"by_category": {"tile": said(2, 0, 4.25), "screw": said(4, 1, 3.5)}}
    grid = of_one_run({"by_category": figures, "verdicts": verdicts})
    assert grid.heads[0] == "category"
    assert grid.heads[-3:] == ["finds", "false alarms", "limit"]
    assert list(grid.rows) == [
        ["tile", "0.800", "-", "-", "-", "-", "2/4", "0/10", "4.25"],
        ["screw", "0.900", "-", "-", "-", "0.500", "4/4", "1/10", "3.5"],
        ["mean", "0.850", "-", "-", "-", "-", "75%", "5%", "-"],
    ]
    assert not of_one_run({"image_auroc": 0.8, "by_category": {}}).rows
