import numpy as np
from pictures import decoded

from anomaly_diffusion.figures.training_chart import training_chart


def test_the_course_of_a_run_can_be_drawn_from_nothing_to_everything():
    empty = decoded(training_chart([], []))
    losses = [(step, 1 / step) for step in range(1, 90)]
    full = decoded(training_chart(losses, [(40, {"pixel_ap": 0.1}), (80, {})]))
    assert np.abs(empty.astype(int) - full).max() > 127
