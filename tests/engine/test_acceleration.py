"""With channels last a network says the same, compiled too (tests/test_parity.py); what is chosen holds for a run."""

import pytest
import torch
from analytic import image_batch
from commands import unchanged_process
from small_run import NARROW, SMALL_RUN
from torch import nn

from anomaly_diffusion import api
from anomaly_diffusion.api import evaluate, load, train
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.engine import acceleration
from anomaly_diffusion.engine.acceleration import Acceleration, bfloat16_instructions, choose, probed
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.runs import image_results
from anomaly_diffusion.scoring.scorer import Scoring

IMAGE = (3, 32, 48)
LOWER = {"trainer.precision": "bf16-mixed", "acceleration.channels_last": True}


def make_detector():
    torch.manual_seed(0)
    detector = PixelDetector(
        UNet(width=8, multipliers=[1, 2]),
        CosineSchedule(),
        VelocityPrediction(),
        GaussianNoise(),
        Objective(),
        OneShot([0.5], draws=0),
        Scoring(),
    )
    nn.init.normal_(detector.denoiser.backbone.head[2].weight, std=0.1)
    return detector.eval()


def test_with_channels_last_the_network_says_the_same():
    batch, plain, fast = image_batch(4), make_detector(), make_detector()
    Acceleration(channels_last=True).setup(None, fast, "fit")
    assert list(fast.state_dict()) == list(plain.state_dict())
    with torch.inference_mode():
        expected = plain.restore(batch, plain.codec.encode(batch.image)).x_0
        found = fast.restore(batch, fast.codec.encode(batch.image)).x_0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (expected - batch.image[:, None]).abs().max() > 1e-2
    assert fast.denoiser.backbone.stem.weight.is_contiguous(memory_format=torch.channels_last)


def test_nothing_is_touched_without_flags():
    detector = make_detector()
    Acceleration().setup(None, detector, "fit")
    assert detector.denoiser.backbone._compiled_call_impl is None
    assert detector.denoiser.backbone.stem.weight.is_contiguous()


@pytest.mark.parametrize(("after", "lower"), [(0.5, True), (0.79, True), (0.81, False), (2.0, False)])
def test_bfloat16_is_taken_where_it_saves_a_fifth_of_the_time(monkeypatch, after, lower):
    asked = []
    monkeypatch.setattr(acceleration, "probed", lambda *block: asked.append(block) or (1.0, after))
    choice = choose(make_detector(), IMAGE, ["AMX"])
    assert choice.lower == lower
    assert f"{1000 * after:.1f} ms instead of 1000.0 ms for a block of 8 channels at 16 x 24 on AMX" in choice.why
    assert asked == [(8, 16, 24)]  # the network folds two by two pixels


def test_nothing_is_probed_in_vain():
    choice = choose(make_detector(), IMAGE, [])
    assert choice == (False, "float32, as this CPU has neither AMX nor AVX-512 BF16")
    choice = choose(make_detector().requires_grad_(False), IMAGE, ["AMX"])
    assert choice == (False, "float32, as no convolution is trained")


def test_a_probe_takes_time_and_nothing_else():
    state = torch.get_rng_state()
    assert all(seconds > 0 for seconds in probed(8, 4, 6))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """Two runs: one that chooses, and one in bfloat16 whatever the CPU."""
    settings = SMALL_RUN | NARROW | {"data.image_size": [32, 48], "runs_dir": tmp_path_factory.mktemp("chosen")}
    with unchanged_process():
        names = {"auto": {"acceleration.auto": True}, "lower": LOWER}
        return {name: train("model/pixel.yaml", settings=settings | more) for name, more in names.items()}


def test_what_is_chosen_stands_in_the_settings_and_makes_the_same_run_again(chosen):
    run = chosen["auto"]
    header = (run.folder / "config.yaml").read_text().splitlines()[1]
    lower = run.config["trainer"]["precision"] == "bf16-mixed"
    assert header.startswith("# Chosen: acceleration.auto took " + ("bfloat16" if lower else "float32"))
    assert bfloat16_instructions() or not lower
    assert run.config["acceleration"] == {"auto": False, "channels_last": lower, "compile": False}
    with unchanged_process():
        again = train(str(run.folder / "config.yaml"))
    ours, theirs = load(run).state_dict(), load(again).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if not ours[name].isnan().any())


@pytest.mark.parametrize("name", ["auto", "lower"])
def test_a_loaded_run_judges_by_the_arithmetic_of_its_calibration(chosen, name):
    run = chosen[name]
    expected = [result.score for result in image_results.read(run.folder / "per_image.csv")]
    assert load(run)(api.test_images(run)).score.tolist() == expected
    with unchanged_process():
        assert [result.score for result in image_results.read(evaluate(run).folder / "per_image.csv")] == expected


def test_float32_says_something_else_than_bfloat16(chosen):
    run = chosen["lower"]
    images, detector = api.test_images(run), load(run)
    lower = detector(images)
    detector.micro_batches.precision = None
    exact = detector(images)
    assert lower.anomaly_map.dtype == exact.anomaly_map.dtype == torch.float32
    assert not torch.equal(lower.anomaly_map, exact.anomaly_map)
    assert Inspector(run.folder)._detector.micro_batches.precision is torch.bfloat16


def test_another_precision_is_calibrated_anew(chosen):
    run = chosen["lower"]
    with unchanged_process():
        exact = evaluate(run, settings={"trainer.precision": "32-true"})
    assert exact.summary["verdicts"]["limit"] != run.summary["verdicts"]["limit"]
    assert (exact.summary["precision"], run.summary["precision"]) == ("32-true", "bf16-mixed")
