"""The page in a real browser, wide and narrow: what it shows is what the run says, and nothing leaves the machine."""

import re
import shutil

import cv2
import numpy as np
import pytest
import yaml
from served import photographs, program, trained

from anomaly_diffusion import files
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.inspecting.opened_run import OpenedRun
from anomaly_diffusion.runs.record import Run

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow
WAIT = 60_000  # milliseconds


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("inspected"), runs=2)


@pytest.fixture(scope="module")
def opened(runs):
    return OpenedRun(Run(runs[0]))


@pytest.fixture(scope="module")
def address(runs):
    with program("/", "inspect", *map(str, runs)) as address:
        yield address


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


@pytest.fixture(params=[1280, 400])
def page(request, browser, address):
    """The page; every request that it makes goes to this machine, and it is no wider than the screen."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda one: asked.append(one.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".told li", timeout=WAIT)
    yield page
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", f"blob:{address}"))] == []
    assert wrong == []
    assert wide <= request.param


def told(page):
    return page.locator(".told").first.inner_text()


def set_rate(page, percent):
    before = told(page)
    box = page.locator("input[type=number]").first
    box.fill(str(percent))
    box.press("Enter")
    page.wait_for_function("before => document.querySelector('.told').innerText != before", arg=before, timeout=WAIT)


def outcomes(page):
    return page.locator("#outcomes label").all_inner_texts()


def picture(page, name):
    """Width and height of a picture, of its own pixels."""
    image = page.wait_for_selector(f"#{name} img", timeout=WAIT)
    page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image, timeout=WAIT)
    return image.evaluate("image => [image.naturalWidth, image.naturalHeight]")


def test_dropped_photographs_are_judged_and_shown_at_full_size(page, opened, tmp_path):
    paths = photographs(tmp_path, 3)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no photograph")
    page.set_input_files("input[type=file]", [*paths, bad])
    page.wait_for_selector("#dropped .thumbnail-item", timeout=WAIT)
    found = sorted((opened.inspector(path) for path in paths), key=lambda one: -one.score)
    captions = page.locator("#dropped .caption-label").all_inner_texts()
    assert [caption.split(": ")[1] for caption in captions] == [one.name for one in found]
    assert [f"{one.score:.3g}" in caption for one, caption in zip(found, captions, strict=True)] == [True] * 3
    page.wait_for_selector("text=bad.png is corrupt or no image", timeout=WAIT)
    page.locator("#dropped .thumbnail-item").first.click()
    assert picture(page, "photograph_photograph") == picture(page, "photograph_map") == list(found[0].size[::-1])
    assert f"score {found[0].score:.3g}" in page.locator("#said_photograph").inner_text()


def test_the_rate_moves_limit_recall_and_false_alarms(page, opened):
    page.get_by_role("tab", name="Test set").click()
    for percent in (10, 40):
        set_rate(page, percent)
        judged = opened.at(percent / 100)
        assert told(page).split("\n") == judged.sentences()
        names = ("all", "found", "found elsewhere", "missed", "false alarm", "passed")
        expected = [f"{name} {judged.counts[name]}" for name in names]
        page.wait_for_function(
            "last => document.querySelector('#outcomes').innerText.includes(last)", arg=expected[-1], timeout=WAIT
        )
        assert outcomes(page) == expected


def test_the_test_set_is_browsed_by_score_and_filtered(page, opened):
    set_rate(page, 40)
    judged = opened.at(0.4)
    page.get_by_role("tab", name="Test set").click()
    page.wait_for_selector("#tested .thumbnail-item", timeout=WAIT)
    for outcome in ("missed", "passed", "all"):
        page.locator("#outcomes label", has_text=re.compile(rf"^\s*{outcome} ")).click()
        expected = [result.path for result in judged.only(outcome)]
        page.wait_for_function(
            "count => document.querySelectorAll('#tested .caption-label').length == count",
            arg=len(expected),
            timeout=WAIT,
        )
        captions = page.locator("#tested .caption-label").all_inner_texts()
        assert [caption.split(": ")[1] for caption in captions] == expected
    page.locator("#tested .thumbnail-item").nth(1).click()
    assert picture(page, "test_map") == picture(page, "test_photograph")
    assert judged.only("all")[1].path in page.locator("#said_test").inner_text()


def test_a_false_alarm_is_marked_once(page, opened, runs):
    page.get_by_role("tab", name="Test set").click()
    page.locator("#outcomes label", has_text=re.compile(r"^\s*passed ")).click()
    page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('#tested .caption-label')].map(one => one.innerText);"
        "return all.length && all.every(text => text.includes('passed')) }", timeout=WAIT)  # fmt: skip
    page.locator("#tested .thumbnail-item").first.click()
    picture(page, "test_map")
    page.locator("#mark_test").click()
    page.wait_for_selector("#marked_test li", timeout=WAIT)
    assert "--data.feedback" in page.locator("#marked_test").inner_text()
    rows = files.read_table(runs[0] / "feedback.csv")
    assert len({row["name"] for row in rows}) == len(rows)
    kept = cv2.imread(str(runs[0] / rows[0]["path"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(kept, opened.look_at_test(rows[0]["name"]).photograph[..., 0])


def test_two_runs_are_compared_image_by_image(page, opened, runs):
    other = OpenedRun(Run(runs[1])).at(0.4)
    set_rate(page, 40)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("radio", name="all", exact=True).last.check()
    page.wait_for_function("() => document.querySelectorAll('#compared .caption-label').length == 8", timeout=WAIT)
    first = opened.at(0.4).results[0]
    theirs = next(result for result in other.results if result.path == first.path)
    caption = page.locator("#compared .caption-label").first.inner_text()
    assert re.sub("[✓✗]+ ", "", caption) == f"{first.outcome} | {theirs.outcome}: {first.path}"
    page.locator("#compared .thumbnail-item").first.click()
    assert picture(page, "map_0") == picture(page, "map_1")


def test_a_run_whose_data_are_gone_is_shown_as_far_as_it_can_be(runs, tmp_path):
    folder = tmp_path / "small" / "001"
    shutil.copytree(runs[0], folder)
    config = files.read_mapping(folder / "config.yaml")
    config["data"]["dataset"] = {"class_path": "anomaly_diffusion.Folder", "init_args": {"root": "nowhere"}}
    files.write(folder / "config.yaml", yaml.safe_dump(config))
    run = OpenedRun(Run(folder))
    name = run.at(0.4).results[0].path
    assert run.thumbnail(name).ndim == 3
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run.look_at_test(name)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nowhere"], 1, "`nowhere` is no run folder"),
        (["--port", "80"], 2, "`--port` must lie in [1024, 65535], got 80."),
        (["--host", "203.0.113.1"], 1, "cannot be used"),
    ],
)
def test_what_cannot_be_opened_is_refused(runs, capsys, words, status, told):
    words = words if words[0] == "nowhere" else [str(runs[0]), *words]
    assert main(["inspect", *words]) == status
    assert told in capsys.readouterr().err
