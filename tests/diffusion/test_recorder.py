import pytest
import torch
from analytic import exact_denoiser, normal_images, seeded, spied

from anomaly_diffusion.diffusion.denoiser import Denoiser
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.recorder import Recorder
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import UNet


def test_a_recorder_changes_no_answer_and_forgets_no_question() -> None:
    denoiser, spy = spied(exact_denoiser())
    recorder, x_t = Recorder(denoiser), normal_images(3, 1, 4, 4)
    for t in (torch.tensor(0.5), torch.tensor([0.1, 0.2, 0.3])):
        answer = recorder(x_t, t)
        assert torch.equal(answer.x_0, exact_denoiser()(x_t, t).x_0)
        assert torch.equal(answer.noise, exact_denoiser()(x_t, t).noise)
        assert torch.equal(recorder.evaluations[-1].x_0_hat, answer.x_0)
    for seen, (asked, t) in zip(recorder.evaluations, spy.calls, strict=True):
        assert torch.equal(seen.x_t, asked)
        assert torch.equal(seen.t, t)
        assert torch.equal(seen.depth, denoiser.schedule.depth(t))


def test_what_is_remembered_stays_what_it_was() -> None:
    recorder, x_t = Recorder(exact_denoiser()), normal_images(1, 1, 4, 4)
    before = x_t.clone()
    recorder(x_t, torch.tensor(0.5))
    x_t += 1
    assert torch.equal(recorder.evaluations[0].x_t, before)


def test_one_list_is_kept_whatever_category_is_asked_for() -> None:
    torch.manual_seed(0)
    network = UNet(width=8, multipliers=(1, 2), classes=3).eval()
    denoiser = Denoiser(network, CosineSchedule(), VelocityPrediction())
    category, x_t = torch.tensor([0, 2, 1]), torch.randn(3, 3, 16, 16, generator=seeded())
    recorder = Recorder(denoiser)
    with torch.no_grad():
        answer = recorder.conditioned_on(category)(x_t, torch.tensor(0.3))
        expected = denoiser.conditioned_on(category)(x_t, torch.tensor(0.3))
    torch.testing.assert_close(answer.x_0, expected.x_0, rtol=0, atol=1e-5)
    assert len(recorder.evaluations) == 1
    assert torch.equal(recorder.evaluations[0].x_0_hat, answer.x_0)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_only_the_first_images_are_remembered_if_so_wished(images: int) -> None:
    recorder, x_t = Recorder(exact_denoiser(), images), normal_images(3, 1, 4, 4)
    recorder(x_t, torch.tensor(0.5))
    assert torch.equal(recorder.evaluations[0].x_t, x_t[:images])


def test_a_recorder_must_remember_something() -> None:
    with pytest.raises(ValueError, match=r"`images` must be at least 1, got 0"):
        Recorder(exact_denoiser(), images=0)
