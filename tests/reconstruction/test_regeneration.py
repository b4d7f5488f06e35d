import pytest
import torch
from analytic import exact_denoiser, normal_images, spied
from torch import Tensor

from anomaly_diffusion.diffusion.sampler import Heun
from anomaly_diffusion.diffusion.schedule import CosineSchedule, ScaledLinearSchedule, Schedule
from anomaly_diffusion.reconstruction.regeneration import Regeneration


def refuse(like: Tensor) -> Tensor:
    raise AssertionError("Noise was drawn.")


def errors(schedule: Schedule) -> list[float]:
    """Greatest distance from the image, with 50, 100 and 200 steps each way."""
    x_0, denoiser = normal_images(2, 3, 4, 4), exact_denoiser(schedule)
    ends = [Regeneration((1.0,), steps)(denoiser, x_0, refuse).x_0[:, 0] for steps in (50, 100, 200)]
    return [float((end - x_0).abs().max()) for end in ends]


def test_the_walk_there_and_back_ends_at_the_image_at_first_order() -> None:
    coarse, middle, fine = errors(CosineSchedule())
    assert fine < 2e-2
    assert coarse / middle == pytest.approx(2, rel=0.1)
    assert middle / fine == pytest.approx(2, rel=0.1)


def test_so_it_does_on_the_chain_of_stable_diffusion_but_for_its_abrupt_start() -> None:
    coarse, middle, fine = errors(ScaledLinearSchedule())
    assert coarse / middle > 1.6
    assert middle / fine > 1.6


def test_the_walk_back_starts_where_the_walk_there_ends() -> None:
    denoiser, spy = spied(exact_denoiser())
    Regeneration((0.8,), steps=4)(denoiser, normal_images(1, 1, 4, 4), refuse)
    depths = denoiser.schedule.depth(torch.stack([t[0] for _, t in spy.calls]))
    assert (depths[:4].diff() > 0).all()
    assert (depths[4:].diff() < 0).all()
    assert float(depths.max()) == float(depths[4]) == pytest.approx(0.8)


def test_evaluations_are_those_of_both_ways() -> None:
    assert Regeneration((0.4, 0.8), steps=5).evaluations == 10
    assert Regeneration((0.4,), steps=5, sampler=Heun()).evaluations == 14
