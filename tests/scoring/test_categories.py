"""Categories are told by their names, whatever their numbers in a data set."""

import pytest
import torch

from anomaly_diffusion.scoring.calibration import Calibration
from anomaly_diffusion.scoring.categories import Categories
from anomaly_diffusion.types import ImageBatch
from anomaly_diffusion.verdict_records import UnknownCategory

FIRST = Calibration(2, 3.0, 0.5)


def batch(numbers, names=(), paths=None):
    count = len(numbers)
    image, mask = torch.zeros(count, 1, 4, 4), torch.zeros(count, 1, 4, 4, dtype=torch.bool)
    known = torch.zeros(count, dtype=torch.bool), torch.tensor(numbers), torch.arange(count)
    size = torch.full((count, 2), 4)
    return ImageBatch(image, mask, ~mask, *known, size, paths or [str(one) for one in numbers], categories=names)


@pytest.fixture
def categories():
    made = Categories()
    made.name(["tile", "screw", "v1.2"], FIRST)
    return made


def test_names_decide_and_order_does_not(categories):
    turned = batch([0, 1, 2, 0], ("v1.2", "tile", "screw"))
    assert categories.numbers(turned) == [2, 0, 1, 2]
    assert categories.numbered(turned).shows == turned.shows
    assert [(number, rows.tolist()) for number, rows in categories.rows(turned)] == [(0, [1]), (1, [2]), (2, [0, 3])]
    assert [one.path for one in categories.only([turned], 2)] == [["0", "0"]]


def test_a_folder_of_the_path_tells_where_nobody_does_the_nearest_to_the_file(categories):
    paths = ["line/screw/tile/0.png", "v1.2/0.png", "tile/new/screw/deep/0.png"]
    assert categories.numbers(batch([0, 0, 0], paths=paths)) == [0, 2, 1]
    with pytest.raises(UnknownCategory, match=r"`category` of new/screw.png is unknown"):
        categories.numbers(batch([0], paths=["new/screw.png"]))


def test_what_is_known_stays_when_one_more_is_named(categories):
    categories[0].calibration.count.fill_(9)
    categories.name(["tile", "screw", "v1.2", "wood"], FIRST)
    assert [one.calibration.count for one in categories] == [9, 0, 0]
    assert categories[2].calibration.floor == FIRST.floor
    assert len(categories) == 3


def test_one_category_is_no_category():
    alone = Categories()
    alone.name(["tile"], FIRST)
    assert not alone.state_dict()
    given = batch([0, 1], ("screw", "wood"))
    assert alone.numbered(given) is given
    assert alone.numbers(given) == [0, 0]
    assert alone.rows(given) == [(0, slice(None))]
