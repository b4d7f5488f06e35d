"""`report` on real small runs: what its page holds, what it escapes, and how it behaves in a real browser."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from commands import unchanged_process
from served import photographs

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.runs.record import RunRecord, predictions_of

SIZES = {"train": 8, "validation": 8, "test": 6}
COMMAND = (
    *("train", "--config", "experiments/model/pixel.yaml", "--config", "experiments/data/textures.yaml"),
    *("--trainer.max_steps", "4", "--trainer.val_check_interval", "4", "--data.batch_size", "4"),
    *("--model.init_args.backbone.init_args.width", "8", "--wandb.mode", "disabled", "--experiment", "small"),
    *(f"--data.dataset.init_args.{part}={size}" for part, size in SIZES.items()),
    "--model.init_args.reconstruction.init_args.depths=[0.3, 1.0]",
)
WIDTHS = (1280, 400)
HOSTILE_FILE = '<script>alert("x").png'
HOSTILE = '<script>alert("x")</script>.png'


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of all runs: one, of an experiment called small."""
    with unchanged_process():
        os.chdir(tmp_path_factory.mktemp("report"))
        assert main(list(COMMAND)) == 0
        yield Path("runs").resolve()


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The page about the experiment."""
    output = tmp_path_factory.mktemp("page")
    assert main(["report", str(runs / "small"), "--output", str(output)]) == 0
    return output / "index.html"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium (Debian package) on this machine")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def tab(browser, page):
    """The page, open; it must have said nothing and asked for nothing by the end of the test."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    opened, said, asked = context.new_page(), [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(page.as_uri())
    yield opened
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


@pytest.fixture(scope="module")
def predicted(runs, tmp_path_factory):
    """The page about a prediction of the run, whose photographs are in `new`, beside a torn and an absent one."""
    place = tmp_path_factory.mktemp("predicted")
    first, *_ = photographs(place / "new", 6)
    shutil.copy(first, first.with_name(HOSTILE_FILE))
    (place / "new/torn.png").write_bytes((place / "new/000.png").read_bytes()[:200])
    shutil.copytree(runs / "small/001", place / "runs/small/001", ignore=shutil.ignore_patterns("evaluations"))
    words = ("--run_folder", str(place / "runs/small/001"), "--masks", "--overlays", "--false_alarms", ".2")
    with unchanged_process():
        os.chdir(place)
        assert main(["predict", "new", "absent.png", *words]) == 1
    assert main(["report", str(place / "runs/small/001"), "--output", str(place / "page")]) == 0
    return place / "page/index.html"


@pytest.fixture
def predicted_tab(browser, predicted):
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    opened, said = context.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(predicted.as_uri())
    yield opened
    context.close()
    assert said == []


def column(tab, number, table="table"):
    """The visible cells of a column of the table of images."""
    return tab.eval_on_selector_all(
        f"#{table} tbody tr:not([hidden]) > :nth-child({number})", "cells => cells.map(cell => cell.textContent)"
    )


def test_the_page_is_alone_and_the_markdown_has_its_pictures(page):
    text = page.read_text()
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)""", text) == []
    markdown = (page.parent / "index.md").read_text()
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", markdown)
    assert pictures
    assert all((page.parent / picture).is_file() for picture in pictures)


@pytest.mark.parametrize("section", ["results", "cost", "depth", "failures", "pictures", "images"])
def test_it_has_every_section(page, section):
    assert f'<section id="{section}"' in page.read_text()


def test_controls_stand_below_the_model(page):
    text = page.read_text()
    assert text.index('<th scope="row">small</th>') < text.index('<th scope="row">best control</th>')


def test_names_of_files_are_escaped(runs, tmp_path):
    shutil.copytree(runs / "small/001", tmp_path / "hostile/001")
    table = tmp_path / "hostile/001/per_image.csv"
    head, first, *others = table.read_text().splitlines()
    path = head.split(",").index("path")
    cells = first.split(",")
    cells[path] = '"' + HOSTILE.replace('"', '""') + '"'
    table.write_text("\n".join([head, ",".join(cells), *others]) + "\n")
    assert main(["report", str(tmp_path / "hostile"), "--output", str(tmp_path / "out")]) == 0
    for name in ("index.html", "index.md"):
        assert "<script>alert" not in (tmp_path / "out" / name).read_text()
    assert "&lt;script&gt;alert" in (tmp_path / "out/index.html").read_text()


def test_an_older_run_without_failures_is_shown_with_what_it_lacks(runs, tmp_path, capsys):
    shutil.copytree(runs / "small/001", tmp_path / "old/001")
    for path in (tmp_path / "old/001").glob("failures*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["report", str(tmp_path / "old"), "--output", str(tmp_path / "out")]) == 0
    assert "old, 001: no failures.csv" in capsys.readouterr().out
    assert "anomaly-diffusion test --run_folder" in (tmp_path / "out/index.html").read_text()


def test_a_run_without_tiles_has_its_contact_sheets_and_is_told_what_makes_them(runs, tmp_path, capsys):
    shutil.copytree(runs / "small/001", tmp_path / "old/001", ignore=shutil.ignore_patterns("tiles"))
    assert main(["report", str(tmp_path / "old"), "--output", str(tmp_path / "out")]) == 0
    assert "old, 001: no tiles/" in capsys.readouterr().out
    text = (tmp_path / "out/index.html").read_text()
    assert '<section id="pictures"' not in text
    assert f"anomaly-diffusion test --run_folder {tmp_path / 'old/001'}" in text
    assert "pictures/1-test.webp" in (tmp_path / "out/index.md").read_text()


def test_every_image_that_is_shown_slides_through_its_tiles(runs, page):
    shown = json.loads((runs / "small/001/panels/test.json").read_text())["images"]
    text = page.read_text()
    for entry in shown:
        assert f'aria-label="Image, reconstruction, anomaly map of {entry["path"]}"' in text
    assert text.count('class="tag defective"') >= sum(entry["label"] for entry in shown)


def test_what_cannot_be_reported_is_said_in_one_line(runs, tmp_path, capsys):
    assert main(["report", str(tmp_path), "--output", str(tmp_path / "out")]) != 0
    assert "No finished run in" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["report", str(runs / "small"), "--output", str(tmp_path / "file")]) != 0
    assert "`output` must be a folder" in capsys.readouterr().err


def test_a_slider_goes_from_the_image_to_its_map(tab):
    stage, slider = tab.locator(".slide .stage").first, tab.locator(".slide input").first
    seen = [stage.screenshot()]
    for presses in (10, 10):  # steps of 10 on a scale of 200
        slider.focus()
        for _ in range(presses):
            tab.keyboard.press("ArrowRight")
        seen.append(stage.screenshot())
    assert slider.get_attribute("aria-valuetext") == "anomaly map"
    assert len(set(seen)) == 3


def test_one_slider_moves_all_pictures_of_a_model(tab):
    tab.locator("[data-all]").first.focus()
    tab.keyboard.press("End")
    said = tab.eval_on_selector_all(".slide input", "all => all.map(one => one.getAttribute('aria-valuetext'))")
    assert len(said) > 1
    assert set(said) == {"anomaly map"}


def test_the_table_sorts_by_score_both_ways(tab):
    heads = tab.eval_on_selector_all("#table thead th", "heads => heads.map(head => head.textContent.trim())")
    number = heads.index("score") + 1
    button = tab.locator("#table thead button").nth(number - 1)
    button.click()
    falling = [float(score) for score in column(tab, number)]
    button.click()
    rising = [float(score) for score in column(tab, number)]
    assert len(falling) == SIZES["test"]
    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(falling)


def test_the_table_filters_by_label_and_by_words(tab):
    tab.select_option("#label", "good")
    good = column(tab, 1)
    assert 0 < len(good) < SIZES["test"]
    assert all("good" in path for path in good)
    tab.fill("#words", "no such image")
    assert column(tab, 1) == []
    assert tab.text_content("#count") == f"0 of {SIZES['test']} lines"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(tab, width):
    tab.set_viewport_size({"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_predictions_are_shown_as_they_were_written(predicted, predicted_tab):
    (run,) = predictions_of(predicted.parents[1] / "runs/small/001")
    told = {result.path: result for result in run.predictions}
    paths, verdicts, p_values, scores, limits = (column(predicted_tab, place, "predicted") for place in range(1, 6))
    assert set(paths) == set(told)
    assert p_values == sorted(p_values, key=float)
    for path, verdict, score, limit in zip(paths, verdicts, scores, limits, strict=True):
        said = told[path]
        assert (verdict, score, limit) == (said.word, f"{said.score:.3f}", f"{said.verdict.limit:.3g}")
    grid = predicted_tab.text_content("#predictions table")
    assert "20 %" in grid
    places = predicted_tab.text_content("#predicted")
    for region in (region for result in told.values() for region in result.verdict.regions):
        assert f"{region.width} x {region.height} at ({region.x}, {region.y}), {region.area} pixels" in places


def test_files_that_could_not_be_judged_are_listed_with_their_reason(predicted, predicted_tab):
    told = predicted_tab.text_content(".unjudged")
    assert "new/torn.png: is corrupt or no image" in told
    assert "absent.png: does not exist" in told
    markdown = (predicted.parent / "index.md").read_text()
    assert "absent.png** was not judged: does not exist" in markdown
    assert (predicted.parent / "pictures/prediction-1.webp").is_file()


def test_predictions_filter_by_verdict_and_their_pictures_go_through_regions(predicted, predicted_tab):
    (run,) = predictions_of(predicted.parents[1] / "runs/small/001")
    for word in ("defective", "normal"):
        predicted_tab.select_option("#predictions [name=verdict]", word)
        assert set(column(predicted_tab, 1, "predicted")) == {one.path for one in run.predictions if one.word == word}
    predicted_tab.select_option("#predictions [name=verdict]", "")
    assert len(column(predicted_tab, 1)) == SIZES["test"]  # the table of tests is another
    slider = predicted_tab.locator("#predictions .slide input").first
    slider.focus()
    predicted_tab.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "regions"
    shown = predicted_tab.eval_on_selector_all("#predictions .slide", "all => all.length")
    assert shown == len(run.predictions)  # overlays are those of all


@pytest.mark.parametrize("width", WIDTHS)
def test_predictions_are_not_wider_than_the_window(predicted_tab, width):
    predicted_tab.set_viewport_size({"width": width, "height": 900})
    assert predicted_tab.evaluate("document.documentElement.scrollWidth") <= width


def test_names_of_predicted_files_are_escaped(predicted):
    text = predicted.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_prediction_is_shown_by_itself(predicted, tmp_path, capsys):
    (run,) = predictions_of(predicted.parents[1] / "runs/small/001")
    capsys.readouterr()
    assert main(["report", str(run.folder), "--output", str(tmp_path)]) == 0
    assert "0 runs, 1 predictions" in capsys.readouterr().out
    text = (tmp_path / "index.html").read_text()
    assert '<section id="predictions"' in text
    assert '<section id="results"' not in text


def test_a_file_that_was_judged_later_is_no_longer_told_as_bad(predicted):
    (run,) = predictions_of(predicted.parents[1] / "runs/small/001")
    assert set(run.unjudged) == {"new/torn.png", "absent.png"}
    (run.folder / "unjudged.csv").write_text("path,problem\nnew/001.png,is empty\ngone.png,does not exist\n")
    assert RunRecord(run.folder).unjudged == {"gone.png": "does not exist"}
