"""What reconstructions leave: of photographs that were learnt from less than of held-out ones, where there are few."""

import pytest
import torch

from anomaly_diffusion.callbacks.run_card import _left, _what_is_left
from anomaly_diffusion.types import Decoded


def test_it_is_the_mean_square_of_every_image_over_all_its_reconstructions():
    reference = torch.zeros(2, 1, 2, 2)
    reconstruction = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1, 1).expand(2, -1, 1, 2, 2).clone()
    reconstruction[1] = 0
    assert Decoded(reference, reconstruction, nfe=1).left.tolist() == [5.0, 0.0]


@pytest.mark.parametrize("left", [(None, None), (0.2, None), (None, 0.5)])
def test_nothing_is_said_where_one_side_is_unknown(left):
    module = torch.nn.Identity()
    module.left = left
    assert _what_is_left(module) == {}


def test_the_line_names_ratio_and_both():
    module = torch.nn.Identity()
    module.left = (0.2, 0.5)
    told = _what_is_left(module)
    assert told == {"learnt_from": 0.2, "held_out": 0.5, "ratio": 2.5}
    assert "2.5 times" in _left(told)
    assert "0.5, 0.2" in _left(told)
