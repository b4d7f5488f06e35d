import cv2
import numpy as np
import pytest

from anomaly_diffusion.figures.canvas import TRUTH
from anomaly_diffusion.figures.contact_sheet import HEAD, TEXT, Panel, contact_sheet
from anomaly_diffusion.figures.result_pictures import ResultPictures


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255


def panel(z=8.0, defect=True, side=32, title="test/dent/1.png", channels=3):
    image = np.full((side, side, channels), 0.5)
    mask = np.zeros((side, side), bool)
    mask[8:16, 8:16] = defect
    pictures = ResultPictures(title, defect, 8.0, image, mask, image, image, np.where(mask, z, 0.0))
    return Panel([pictures], "found", "dent · score 8, limit 2")


def share(picture, colour):
    return (np.abs(picture - np.array(colour)).max(-1) < 0.03).mean()


def test_the_true_defect_is_outlined_and_good_images_are_not():
    assert share(decode(contact_sheet([panel()])), TRUTH) > 0
    assert share(decode(contact_sheet([panel(defect=False)])), TRUTH) == 0


def test_one_colour_means_one_value_on_every_sheet():
    alone = decode(contact_sheet([panel(z=4.0)], tile=64))
    beside_a_stronger_one = decode(contact_sheet([panel(z=4.0), panel(z=80.0)], tile=64))
    rows = slice(0, 8 + HEAD + TEXT + 64)
    np.testing.assert_allclose(alone[rows], beside_a_stronger_one[rows])


@pytest.mark.parametrize("title", ["a" * 300, "test/划痕/$x_1$.png", "", "50% <b>"])
def test_any_file_name_can_be_a_title(title):
    assert decode(contact_sheet([panel(title=title)])).std() > 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images_look_alike(channels):
    reference = decode(contact_sheet([panel()]))
    np.testing.assert_allclose(decode(contact_sheet([panel(channels=channels)])), reference)
