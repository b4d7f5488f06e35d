import numpy as np
import pytest

from anomaly_diffusion.figures.label_placement import overlap, place_labels, place_on_line

BOUNDS = (10.0, 20.0, 510.0, 420.0)
NOTHING = np.empty((0, 2))


def crowd(seed, count=15):
    """Points of which half stand close together, and the sizes of their labels."""
    generator = np.random.default_rng(seed)
    anchors = generator.uniform((10, 20), (510, 420), (count, 2))
    anchors[: count // 2] = generator.uniform((400, 300), (440, 330), (count // 2, 2))
    return anchors, np.stack([generator.uniform(30, 160, count), np.full(count, 12.0)], axis=1)


def gap(anchor, box):
    return float(np.linalg.norm(anchor.clip(box[:2], box[2:]) - anchor))


@pytest.mark.parametrize("seed", range(5))
def test_labels_neither_overlap_nor_leave_the_bounds(seed):
    anchors, sizes = crowd(seed)
    boxes = place_labels(anchors, sizes, BOUNDS, NOTHING)
    corners = np.array(boxes)
    np.testing.assert_allclose(corners[:, 2:] - corners[:, :2], sizes)
    assert (corners[:, :2] >= BOUNDS[:2]).all()
    assert (corners[:, 2:] <= np.array(BOUNDS[2:]) + 1e-3).all()
    for place, box in enumerate(boxes):
        assert overlap(np.delete(corners, place, axis=0), box).sum() == 0


@pytest.mark.parametrize("corner", [(10, 20), (510, 20), (10, 420), (510, 420), (260, 220)])
def test_a_point_by_itself_has_its_label_close_by_and_uncovered(corner):
    anchor = np.array(corner, dtype=float)
    (box,) = place_labels(anchor[None], np.array([[100.0, 12.0]]), BOUNDS, NOTHING)
    assert 3 < gap(anchor, box) < 11


def test_of_two_points_each_is_nearest_to_its_own_label():
    anchors = np.array([[200.0, 200.0], [230.0, 205.0]])
    boxes = place_labels(anchors, np.array([[100.0, 12.0]] * 2), BOUNDS, NOTHING)
    for own, box in enumerate(boxes):
        assert gap(anchors[own], box) < gap(anchors[1 - own], box)


def test_a_label_goes_where_nothing_is_drawn():
    anchor, size = np.array([[200.0, 200.0]]), np.array([[60.0, 12.0]])
    drawn = np.stack(np.meshgrid(np.arange(200, 300), np.arange(150, 250)), axis=-1).reshape(-1, 2).astype(float)
    (free,), (blocked,) = (place_labels(anchor, size, BOUNDS, ink) for ink in (NOTHING, drawn))
    assert free[0] > 200
    assert blocked[2] < 200


def test_a_label_without_room_is_placed_all_the_same():
    boxes = place_labels(np.array([[30.0, 30.0]] * 3), np.array([[900.0, 12.0]] * 3), (0, 0, 100, 30), NOTHING)
    assert len(boxes) == 3


@pytest.mark.parametrize("height", [20.0, 30.0, 200.0, 415.0, 420.0])
def test_the_name_of_a_line_touches_it_within_the_bounds(height):
    left, bottom, right, top = place_on_line(height, (100, 12), BOUNDS, NOTHING)
    assert (left, right) == (410, 510)
    assert BOUNDS[1] <= bottom < top <= BOUNDS[3]
    assert min(abs(bottom - height), abs(top - height)) <= 2


def test_the_name_of_a_line_makes_room_for_what_is_drawn():
    drawn = np.stack(np.meshgrid(np.arange(400, 510), np.arange(150, 250)), axis=-1).reshape(-1, 2).astype(float)
    _, _, right, _ = place_on_line(200.0, (100, 12), BOUNDS, drawn)
    assert 390 < right <= 400
