import shutil

import cv2
import numpy as np
import pytest

from anomaly_diffusion.data.examination import examine
from anomaly_diffusion.data.layouts.mvtec import MVTecAD


def test_copies_across_uses_are_found(mvtec):
    shutil.copy(mvtec / "train/good/000.png", mvtec / "test/good/same.png")
    shutil.copy(mvtec / "train/good/001.png", mvtec / "train/good/twin.png")
    health = examine(MVTecAD(mvtec))
    assert [(test.name, train.name) for test, train in health.shared] == [("same.png", "000.png")]
    assert health.copies() == 1
    assert "1 test photographs are copies" in health.warnings()[0]


def test_a_statistic_that_gives_the_answer_away_is_warned_of(mvtec):
    assert not [warning for warning in examine(MVTecAD(mvtec)).warnings() if "brightness" in warning]
    for path in (mvtec / "test/hole").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)) // 2)
    health = examine(MVTecAD(mvtec))
    brightness = health.shortcuts()[0]
    assert (brightness.name, brightness.raw, brightness.distance) == ("brightness", 0.0, 1.0)
    assert any("brightness alone separates the test classes" in warning for warning in health.warnings())


def test_normals_of_another_kind_are_warned_of(mvtec):
    for path in (mvtec / "test/good").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)) // 2 + 100)
    assert any("differ from those for training in brightness" in w for w in examine(MVTecAD(mvtec)).warnings())


@pytest.mark.parametrize(
    ("place", "brightness"),
    [("mvtec_ad/screw", (1.000, 0.001)), ("magnetic_tile/tile", (0.488, 0.509)), ("bsdata/ball_screw", (0.132, 0.832))],
)
def test_the_known_shortcuts_of_the_real_sets_are_found(real_data, place, brightness):
    found = examine(MVTecAD(real_data / place)).shortcuts()[0]
    assert np.allclose((found.raw, found.distance), brightness, atol=0.001)
