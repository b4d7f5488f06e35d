import pytest
import torch
from analytic import seeded

from anomaly_diffusion.scoring.memory import Candidates, Memory, greedy_coreset

PATCHES = torch.randn(6, 40, 5, generator=seeded())  # of six images
INSIDE = torch.rand(6, 40, generator=seeded(1)) > 0.2
KEYS = [3, 1, 4, 15, 9, 2]


def candidates(at_most: int = 1000, images: list[int] | None = None, seed: int = 0) -> Candidates:
    sample, images = Candidates(at_most, seed), images or list(range(6))
    sample.add(PATCHES[images], INSIDE[images], [KEYS[image] for image in images])
    return sample


def test_a_greedy_coreset_is_that_of_brute_force() -> None:
    points = torch.randn(20, 3, generator=seeded(4)) + 5
    chosen = greedy_coreset(points, 8, seeded(2)).tolist()
    expected = chosen[:1]
    distances = torch.cdist(points.double(), points.double())
    while len(expected) < 8:
        expected.append(int(distances[:, expected].amin(1).argmax()))
    assert chosen == expected
    assert greedy_coreset(points, 8, seeded(2)).tolist() == chosen


def test_a_coreset_of_all_points_holds_each_of_them_once_even_where_some_are_alike() -> None:
    points = torch.randn(10, 3, generator=seeded(4)).repeat(2, 1)
    assert sorted(greedy_coreset(points, 20, seeded()).tolist()) == list(range(20))


def test_a_sample_does_not_depend_on_the_order_of_images_nor_on_who_saw_them() -> None:
    whole = candidates(50)
    parts = candidates(50, [5, 0]), candidates(50, [2, 1]), candidates(50, [4, 3])
    first, *others = parts
    for other in others:
        first.merge(other.patches, other.lots, other.seen)
    assert whole.seen == first.seen == int(INSIDE.sum())
    assert torch.equal(whole.patches, first.patches)
    assert len(whole.patches) == 50
    assert not torch.equal(whole.patches, candidates(50, seed=1).patches)


def test_every_patch_of_the_photograph_and_no_other_is_a_candidate_where_there_is_room() -> None:
    rows = {tuple(row) for row in candidates().patches.tolist()}
    assert rows == {tuple(row) for row in PATCHES[INSIDE].tolist()}


@pytest.mark.parametrize(("options", "count"), [({"share": 0.1}, 0.1), ({"share": 1.0, "at_most": 7}, 7), ({}, 0.1)])
def test_a_memory_has_its_share_of_all_patches_up_to_a_limit(options, count) -> None:
    memory, seen = Memory(**options), int(INSIDE.sum())
    memory.fill(candidates())
    assert len(memory.items) == (count if count >= 1 else -(-seen // 10))
    memory.fill(candidates(30))
    assert len(memory.items) == (count if count >= 1 else -(-seen // 10))  # of all, not of the candidates


def test_the_nearest_items_are_those_of_brute_force_nearest_first() -> None:
    memory, asked = Memory(share=0.5), torch.randn(1500, 5, generator=seeded(7))
    memory.fill(candidates())
    expected = memory.items[torch.cdist(asked.double(), memory.items.double()).argsort(1)[:, :3]]
    assert torch.equal(memory.nearest(asked, 3), expected)


def test_a_projection_keeps_far_patches_far() -> None:
    far = torch.randn(200, 60, generator=seeded(3))
    far[17] += 30
    memory, sample = Memory(share=0.05, projected=8), Candidates(1000, 0)
    sample.add(far[None], torch.ones(1, 200, dtype=torch.bool), [0])
    memory.fill(sample)
    assert (memory.items == far[17]).all(1).any()
    assert memory.items.shape == (10, 60)  # patches are kept as they were


def test_a_memory_of_any_size_survives_its_state_dict() -> None:
    memory, other = Memory(), Memory()
    memory.fill(candidates())
    other.load_state_dict(memory.state_dict())
    assert other.filled
    assert torch.equal(other.items, memory.items)


def test_an_empty_memory_has_no_neighbours_and_is_filled_with_nothing_but_patches() -> None:
    with pytest.raises(RuntimeError, match="The memory is empty"):
        Memory().nearest(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="No normal patch to remember"):
        Memory().fill(Candidates(10, 0))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_outside_its_range_is_refused(share) -> None:
    with pytest.raises(ValueError, match=r"`share` must lie in \(0, 1\]"):
        Memory(share=share)


@pytest.mark.parametrize("name", ["at_most", "candidates", "projected"])
def test_a_number_that_is_not_positive_is_refused(name) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        Memory(**{name: 0})
