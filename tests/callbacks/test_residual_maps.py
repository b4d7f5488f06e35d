import json

import cv2
import numpy as np
import pytest
from toy_detector import Limit, ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
from anomaly_diffusion.figures.canvas import TRUTH
from anomaly_diffusion.files import safe_name

VALIDATION, TEST = ToyImages(12, seed=1), ToyImages(24, seed=2)


def drawn(folder, images=TEST, **options):
    run, detector = trainer(folder, ResidualMaps(**options)), ToyDetector()
    run.test(detector, images.loader(), verbose=False)
    return run, detector


def picture(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1] / 255


def contour(image):
    return (np.abs(image - np.array(TRUTH)).max(-1) < 0.03).sum()


def test_test_draws_a_sheet_and_single_panels_with_outlined_defects(tmp_path):
    drawn(tmp_path, count=4)
    names = sorted(path.name for path in (tmp_path / "panels").iterdir())
    assert names == ["test-001.png", "test-002.png", "test-003.png", "test-004.png", "test.json", "test.png"]
    pictures = [name for name in names if name.endswith(".png")]
    outlined = [contour(picture(tmp_path / "panels" / name)) > 0 for name in pictures]
    assert outlined == [True, True, True, False, True]  # three defects, then a good image, then the sheet


def test_what_the_single_panels_show_is_listed(tmp_path):
    _, detector = drawn(tmp_path, count=4)
    told = json.loads((tmp_path / "panels" / "test.json").read_text())
    assert [entry["panel"] for entry in told["images"]] == [f"test-{number:03d}.png" for number in range(1, 5)]
    assert [entry["label"] for entry in told["images"]] == [True, True, True, False]
    assert {entry["outcome"] for entry in told["images"]} == {""}  # no limit is known
    scores = dict(
        zip(map(TEST.path, range(24)), detector.judge(TEST.batch(list(range(24)))).score.tolist(), strict=True)
    )
    assert [scores[entry["path"]] for entry in told["images"]] == [
        pytest.approx(entry["score"]) for entry in told["images"]
    ]


def test_every_image_shown_has_its_tiles(tmp_path):
    drawn(tmp_path, count=4)
    told = json.loads((tmp_path / "panels" / "test.json").read_text())
    names = {safe_name(entry["path"]) for entry in told["images"]}
    assert {folder.name for folder in (tmp_path / "tiles").iterdir()} == names
    for name in names:
        found = {path.name: picture(path) for path in (tmp_path / "tiles" / name).iterdir()}
        assert set(found) == {"image.png", "reconstruction.png", "difference.png", "anomaly_map.png"}
        assert {tile.shape for tile in found.values()} == {(256, 256, 3)}
        assert contour(found["image.png"]) == 0
        assert (contour(found["anomaly_map.png"]) > 0) == ("good" not in name)
        np.testing.assert_allclose(found["reconstruction.png"], (0.3 + 1) / 2, atol=1 / 255)


def test_validation_draws_its_own_sheet_and_no_single_panels(tmp_path):
    trainer(tmp_path, ResidualMaps(count=4)).validate(ToyDetector(), VALIDATION.loader(), verbose=False)
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["val.png"]
    assert contour(picture(tmp_path / "panels" / "val.png")) > 0


def test_the_sheet_does_not_depend_on_the_batch_size(tmp_path):
    for batch_size in (1, 24):
        run = trainer(tmp_path / str(batch_size), ResidualMaps(count=4))
        run.test(ToyDetector(), TEST.loader(batch_size), verbose=False)
    sheets = [picture(tmp_path / str(batch_size) / "panels" / "test.png") for batch_size in (1, 24)]
    np.testing.assert_allclose(*sheets, atol=1.01 / 255)


def test_each_depth_has_its_row_on_request(tmp_path):
    heights = {}
    for per_depth in (False, True):
        drawn(tmp_path / str(per_depth), count=1, per_depth=per_depth)
        heights[per_depth] = len(picture(tmp_path / str(per_depth) / "panels" / "test-001.png"))
    assert heights[True] - heights[False] == 2 * (256 + 4)


def test_raw_maps_are_the_maps_of_every_image(tmp_path):
    _, detector = drawn(tmp_path, count=1, raw="npy")
    expected = detector.judge(TEST.batch(list(range(24)))).anomaly_map[:, 0].numpy()
    for index, values in enumerate(expected):
        stored = np.load(tmp_path / "maps" / f"{safe_name(TEST.path(index))}.npy")
        np.testing.assert_allclose(stored, values, rtol=1e-6)


def test_sixteen_bit_maps_say_their_scale(tmp_path):
    _, detector = drawn(tmp_path, count=1, raw="tiff")
    note = json.loads((tmp_path / "maps" / "scale.json").read_text())
    stored = cv2.imread(str(tmp_path / "maps" / "test-good-000.tiff"), cv2.IMREAD_UNCHANGED)
    expected = detector.judge(TEST.batch([0])).anomaly_map[0, 0].numpy()
    np.testing.assert_allclose(stored * note["scale"] + note["offset"], expected, atol=note["scale"])


def test_raw_maps_come_at_the_size_of_the_file_on_request(tmp_path):
    _, detector = drawn(tmp_path, count=1, raw="npy", original_size=True)
    values = np.load(tmp_path / "maps" / "test-good-000.npy")
    assert values.shape == (20, 40)
    expected = detector.judge(TEST.batch([0])).anomaly_map.mean().item()
    assert values.mean() == pytest.approx(expected, rel=0.02)


def test_hostile_file_names_stay_inside_the_run_folder(tmp_path):
    images = ToyImages(4)
    images.path = lambda index: f"../../{index}/..\\:*?.png"
    drawn(tmp_path / "run", images, count=1, raw="npy")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len(list((tmp_path / "run" / "maps").iterdir())) == 4


def test_files_of_like_names_get_a_map_each(tmp_path):
    images = ToyImages(4)
    images.path = ["part 1.png", "part_1.png", "part 1.jpg", "part 1.bmp"].__getitem__
    drawn(tmp_path, images, count=1, raw="npy")
    assert len(list((tmp_path / "maps").iterdir())) == 4


def test_predict_draws_and_writes_as_test_does(tmp_path):
    run = trainer(tmp_path, ResidualMaps(count=2, raw="npy"))
    run.predict(ToyDetector(), TEST.loader(), return_predictions=False)
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == [
        "predict-001.png",
        "predict-002.png",
        "predict.json",
        "predict.png",
    ]
    assert len(list((tmp_path / "maps").iterdir())) == 24


def predicted(folder, limit, **options):
    run = trainer(folder, Limit(limit), ResidualMaps(**options))
    run.predict(ToyDetector(), TEST.loader(), return_predictions=False)
    return json.loads((folder / "panels" / "predict.json").read_text())["images"]


SCORES = sorted(ToyDetector().judge(TEST.batch(list(range(24)))).score.tolist(), reverse=True)


@pytest.mark.parametrize(("flagged", "shown"), [(0, 2), (1, 2), (7, 7), (24, 24)])
def test_predict_shows_all_that_are_called_defective_first_and_sorted_by_score(tmp_path, flagged, shown):
    limit = SCORES[flagged] if flagged < 24 else -1.0
    told = predicted(tmp_path, limit, count=2)
    assert [entry["score"] for entry in told] == pytest.approx(SCORES[:shown])
    assert [entry["verdict"] for entry in told] == ["defective"] * flagged + ["normal"] * (shown - flagged)
    assert {entry["outcome"] for entry in told} == {""}  # nobody knows the truth


@pytest.mark.parametrize(
    ("limit", "in_place", "outcomes"),
    [
        (-1.0, True, {"found", "false alarm"}),
        (-1.0, False, {"found elsewhere", "false alarm"}),
        (1e9, True, {"missed", "passed"}),
    ],
)
def test_a_test_tells_found_from_found_elsewhere_and_missed(tmp_path, limit, in_place, outcomes):
    trainer(tmp_path, Limit(limit, in_place), ResidualMaps(count=4)).test(ToyDetector(), TEST.loader(), verbose=False)
    told = json.loads((tmp_path / "panels" / "test.json").read_text())
    assert {entry["outcome"] for entry in told["images"]} == outcomes


def test_overlays_have_the_size_of_the_file(tmp_path):
    drawn(tmp_path, count=1, overlays=True)
    overlays = list((tmp_path / "overlays").iterdir())
    assert len(overlays) == 24
    assert {picture(path).shape for path in overlays} == {(20, 40, 3)}


def test_masks_need_limits(tmp_path):
    with pytest.raises(ValueError, match="no limit is known"):
        drawn(tmp_path, count=1, masks=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"raw": "jpg"}, "`raw` must be"), ({"limit": 0.0}, "`limit` must"), ({"count": 0}, "`count`")],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResidualMaps(**options)
