from collections import Counter

import pytest

from anomaly_diffusion.callbacks.selection import DisplaySampler


def choose(count, **numbers):
    """Offer so many of each kind, one kind after the other; "good" is not defective."""
    spread, made = DisplaySampler(count), []
    for kind, number in numbers.items():
        for index in range(number):
            spread.offer(kind, kind != "good", lambda item=(kind, index): made.append(item) or item)
    return spread.chosen(), made


def test_every_kind_of_defect_is_shown_before_a_second_of_any():
    chosen, _ = choose(8, good=50, scratch=40, dent=1, hole=90)
    assert Counter(kind for kind, _ in chosen) == {"scratch": 3, "dent": 1, "hole": 2, "good": 2}


def test_good_images_come_last():
    chosen, _ = choose(8, good=50, scratch=40)
    assert [kind for kind, _ in chosen] == ["scratch"] * 6 + ["good"] * 2


@pytest.mark.parametrize("numbers", [{"good": 50}, {"hole": 50}, {"good": 1, "hole": 50}, {"good": 50, "hole": 1}])
def test_what_one_side_lacks_the_other_fills(numbers):
    assert len(choose(8, **numbers)[0]) == 8


def test_chosen_images_are_spread_over_the_whole_stream():
    places = [index for _, index in choose(4, good=1000)[0]]
    assert places == sorted(places)
    assert max(later - earlier for earlier, later in zip(places, [*places[1:], 1000], strict=True)) < 500


def test_few_images_are_all_shown_once():
    assert sorted(choose(8, good=1, dent=2)[0]) == [("dent", 0), ("dent", 1), ("good", 0)]


def test_memory_does_not_grow_with_the_stream():
    assert len(choose(8, hole=10_000)[1]) < 200


def test_no_image_is_no_choice():
    with pytest.raises(ValueError, match="`count` must be at least 1, got 0"):
        DisplaySampler(0)
