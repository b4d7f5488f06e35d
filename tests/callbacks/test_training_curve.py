import pytest
import torch

from anomaly_diffusion.callbacks.training_curve import LONGEST, Course


def course(steps):
    noted = Course()
    for step in range(1, steps + 1):
        noted.note_loss(step, torch.tensor(float(step)))
    return noted


def test_a_short_course_is_kept_as_it_was():
    assert course(250).losses == [(step, float(step)) for step in range(1, 251)]


def test_a_long_course_is_averaged_and_stays_short():
    losses = course(10_000).losses
    assert len(losses) <= LONGEST
    assert losses[-1][0] == 10_000
    assert sum(value for _, value in losses) / len(losses) == pytest.approx(5000.5, rel=1e-3)


def test_a_resumed_course_goes_on_where_it_was():
    first, second = course(300), Course()
    first.note_figures(300, {"pixel_ap": 0.5})
    second.load_state_dict(first.state_dict())
    assert (second.losses, second.figures) == (first.losses, [(300, {"pixel_ap": 0.5})])
