"""Two processes together find what one finds alone."""

import pytest
import torch
from two_processes import evaluate, join_group


@pytest.mark.filterwarnings("ignore:The ``compute`` method", "ignore:.*fork.*:DeprecationWarning")
def test_two_processes_agree_with_one_bit_for_bit(tmp_path):
    expected = evaluate(slice(0, 7), slice(0, 7))
    with torch.multiprocessing.get_context("fork").Pool(1) as pool:
        other = pool.apply_async(join_group, (1, str(tmp_path)))
        first, second = join_group(0, str(tmp_path)), other.get(timeout=90)
    assert first[:2] == second[:2] == expected[:2]
    assert first[2] < second[2]  # their bins differed in width
