import sys
from functools import partial

import pytest
import torch
from analytic import image_batch, seeded, single
from tiny import EXACT, NEGATIVE, PROMPT, SIDE, doubled, exact_table, img2img_of_diffusers, untrained, walk
from torch import nn

from anomaly_diffusion.baselines.adapters import PromptedUNet
from anomaly_diffusion.baselines.pipeline import Pipeline, parametrisation_of, schedule_of
from anomaly_diffusion.baselines.strength import Strengths, depth_of, steps_of, strength_of
from anomaly_diffusion.baselines.tiny_stable_diffusion import write
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.codecs.latent import AgainstRoundTrip
from anomaly_diffusion.diffusion.sampler import DDIM
from anomaly_diffusion.reconstruction.regeneration import Regeneration


@pytest.fixture(scope="module")
def img2img(tiny_folder):
    """Make the pipeline of diffusers, with a DDIM scheduler of the given settings."""
    return partial(img2img_of_diffusers, tiny_folder)


def asked(whole, image, strength, steps, guidance, output="pt"):
    """What diffusers makes of an image or of latents with the noise of `seeded(3)`."""
    return whole(
        [PROMPT] * len(image),
        image,
        strength,
        steps,
        guidance_scale=guidance,
        negative_prompt=[NEGATIVE] * len(image),
        generator=seeded(3),
        output_type=output,
    ).images


def latents(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=seeded(1), dtype=torch.float64)


def noise_of_diffusers(like: torch.Tensor) -> torch.Tensor:
    return torch.randn(like.shape, generator=seeded(3), dtype=like.dtype)


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize(("strength", "steps"), [(0.5, 10), (0.3, 20), (1.0, 4)])
def test_partial_diffusion_is_img2img(tiny_folder, img2img, guidance, strength, steps) -> None:
    whole = img2img(timestep_spacing="trailing", set_alpha_to_one=True)
    detector = doubled(untrained(tiny_folder, negative_prompt=NEGATIVE, guidance=guidance), whole)
    strategy = walk(strength, steps_of(strength, steps))
    with torch.no_grad():
        ours = strategy(detector.denoiser, latents(), noise_of_diffusers).x_0[:, 0]
    torch.testing.assert_close(ours, asked(whole, latents(), strength, steps, guidance, "latent"), **EXACT)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_on_the_timesteps_of_the_published_scheduler_the_walk_is_img2img_as_well(
    tiny_folder, img2img, guidance
) -> None:
    """Its last step ends on the first state of the chain, not on the clean image."""
    whole = img2img()
    detector = doubled(untrained(tiny_folder, negative_prompt=NEGATIVE, guidance=guidance), whole)
    theirs = asked(whole, latents(), 0.5, 10, guidance, "latent")
    states = [*(step + 1 for step in whole.scheduler.timesteps[-5:].tolist()), 1]
    times = torch.tensor(states, dtype=torch.float64) / 1000
    alpha, sigma = detector.denoiser.schedule(times[0])
    with torch.no_grad():
        start = alpha * latents() + sigma * noise_of_diffusers(latents())
        ours = DDIM()(detector.denoiser, start, times, noise_of_diffusers)
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_from_pixels_to_pixels_it_is_img2img(tiny_folder, img2img, monkeypatch) -> None:
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    whole = img2img(timestep_spacing="trailing", set_alpha_to_one=True)
    detector, image = doubled(untrained(tiny_folder), whole), image_batch(2, SIDE, SIDE).image.double()
    with torch.no_grad():
        x_0 = detector.codec.encode(image)
        found = walk(0.5, 5)(detector.denoiser, x_0, noise_of_diffusers).x_0[:, 0]
        ours = (detector.codec.decode(found) + 1) / 2
    torch.testing.assert_close(ours, asked(whole, (image + 1) / 2, 0.5, 10, 1.0), **EXACT)


def test_states_of_the_schedule_are_those_of_the_scheduler(img2img) -> None:
    from diffusers import DDIMScheduler

    scheduler = img2img().scheduler
    schedule = schedule_of(scheduler.config)
    alpha, sigma = schedule((torch.arange(1000, dtype=torch.float64) + 1) / 1000)
    torch.testing.assert_close(alpha**2, exact_table(scheduler.config), rtol=1e-12, atol=0)
    published = DDIMScheduler.from_config(scheduler.config).alphas_cumprod  # a product of up to 1000 float32 factors,
    torch.testing.assert_close(alpha**2, published.double(), rtol=1000 * 2.0**-23, atol=0)  # each rounded twice
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))


@pytest.mark.parametrize("changed", [{"beta_schedule": "squaredcos_cap_v2"}, {"rescale_betas_zero_snr": True}])
def test_a_chain_that_we_do_not_know_is_refused(img2img, changed) -> None:
    with pytest.raises(ValueError, match="`beta_schedule` of the model must be"):
        schedule_of({**img2img().scheduler.config, **changed})


def test_a_target_that_we_do_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="`prediction_type` of the model must be among"):
        parametrisation_of({"prediction_type": "flow"})


class Ears(nn.Module):
    """Remembers timesteps; its output is what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.timesteps: list[int] = []

    def forward(self, x_t, timestep, prompt, return_dict):
        self.timesteps += timestep.tolist()
        return (prompt.mean((1, 2)).reshape(-1, 1, 1, 1).expand_as(x_t),)


def test_the_network_is_told_the_nearest_of_its_timesteps() -> None:
    unet = PromptedUNet(Ears(), torch.zeros(1, 2, 3), 1.0, 1000)
    t = torch.tensor([1e-6, 0.001, 0.0014, 0.002, 0.3402, 0.34, 1.0])
    unet(torch.zeros(7, 4, 2, 2), t)
    assert unet.unet.timesteps == [0, 0, 0, 1, 339, 339, 999]
    every = (torch.arange(1000) + 1) / 1000
    unet.unet.timesteps.clear()
    unet(torch.zeros(1000, 4, 1, 1), every)
    assert unet.unet.timesteps == list(range(1000))


def test_guidance_leads_from_the_negative_prompt_past_the_prompt() -> None:
    prompts = torch.stack([torch.full((2, 3), 1.0), torch.full((2, 3), 3.0)])
    unet = PromptedUNet(Ears(), prompts, 2.5, 1000)
    x_t, t = torch.zeros(2, 4, 2, 2), torch.full((2,), 0.5)
    assert torch.equal(unet(x_t, t), torch.full_like(x_t, 1 + 2.5 * 2))
    with unet.unguided():
        assert torch.equal(unet(x_t, t), torch.full_like(x_t, 3.0))
    assert unet.guidance == 2.5


@pytest.mark.parametrize(("guidance", "each"), [(1.0, 1), (4.0, 2)])
def test_evaluations_are_counted_truly(tiny_folder, guidance, each) -> None:
    detector = untrained(tiny_folder, walk(0.5, 3), guidance=guidance)
    calls = []
    detector.backbone.unet.register_forward_hook(lambda *_: calls.append(1))
    batch = image_batch(2, SIDE, SIDE)
    assert detector.decoded(batch).nfe == len(calls) == 3 * each


@pytest.mark.parametrize(("strength", "depth"), [(0.15, 0.45), (0.34, 0.95), (0.5, 1.6)])
def test_strengths_of_stable_diffusion_are_these_depths(strength, depth) -> None:
    assert depth_of(strength) == pytest.approx(depth, rel=0.03)
    assert strength_of(depth_of(strength)) == pytest.approx(strength, abs=1e-9)


def test_strengths_are_depths_and_steps_are_floored() -> None:
    assert Strengths([0.5, 0.15]).depths == (depth_of(0.15), depth_of(0.5))
    assert [steps_of(strength, 50) for strength in (0.34, 0.33, 1.0)] == [17, 16, 50]


@pytest.mark.parametrize("strength", [0.0, 1.1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength) -> None:
    with pytest.raises(ValueError, match=r"`strengths?` must (lie in|be finite)"):
        Strengths([strength])


@pytest.mark.parametrize(("setting", "value"), [("guidance", 0.5), ("chunk", 0)])
def test_settings_out_of_range_are_refused(setting, value) -> None:
    with pytest.raises(ValueError, match=f"`{setting}` must be at least 1"):
        Pipeline(**{setting: value})


@pytest.mark.parametrize("settings", [{}, {"guidance": 3.0, "chunk": 2}])
def test_a_score_depends_on_one_image_only(tiny_folder, settings) -> None:
    detector, batch = untrained(tiny_folder, **settings), image_batch(3, SIDE, SIDE, seed=5)
    detector.calibrate([image_batch(6, SIDE, SIDE, seed=9)])
    together = detector(batch)
    for index in range(3):
        alone = detector(single(batch, index))
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(alone.score[0], together.score[index], rtol=1e-3, atol=1e-3)


def test_slicing_changes_nothing(tiny_folder, img2img) -> None:
    batch, whole = image_batch(2, SIDE, SIDE), img2img()
    batch = batch._replace(image=batch.image.double())
    plain, sliced = (
        doubled(untrained(tiny_folder, slicing=slicing), whole).decoded(batch).reconstruction
        for slicing in (False, True)
    )
    torch.testing.assert_close(plain, sliced, **EXACT)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_maps_stay_exact_numbers(tiny_folder, precision) -> None:
    batch = image_batch(2, SIDE, SIDE)
    full, half = (untrained(tiny_folder, precision=kind).decoded(batch) for kind in ("float32", precision))
    assert half.reconstruction.dtype == torch.float32
    torch.testing.assert_close(half.reconstruction, full.reconstruction, rtol=0, atol=0.1)


def test_a_round_trip_is_compared_with_what_the_vae_leaves(tiny_folder) -> None:
    batch = image_batch(2, SIDE, SIDE)
    detector = untrained(tiny_folder, against=AgainstRoundTrip())
    reference = detector.decoded(batch).reference
    assert torch.equal(reference, detector.codec.decode(detector.codec.encode(batch.image)))
    assert torch.equal(untrained(tiny_folder).decoded(batch).reference, batch.image)


def test_grey_images_become_coloured_and_odd_sizes_are_refused(tiny_folder) -> None:
    codec, image = untrained(tiny_folder).codec, image_batch(2, SIDE, SIDE).image
    grey = image[:, :1]
    assert torch.equal(codec.encode(grey), codec.encode(grey.repeat(1, 3, 1, 1)))
    assert codec.reference(grey, codec.encode(grey)).shape == image.shape
    with pytest.raises(ValueError, match="must be a multiple of 8, got 60 x 64"):
        codec.encode(image[..., :60, :])


def test_a_checkpoint_holds_no_pipeline_and_judges_as_before(tiny_folder) -> None:
    detector, batch = untrained(tiny_folder), image_batch(3, SIDE, SIDE)
    detector.calibrate([image_batch(6, SIDE, SIDE, seed=9)])
    state = detector.state_dict()
    assert not [name for name in state if name.startswith(("denoiser", "codec"))]
    other = untrained(tiny_folder)
    other.load_state_dict(state)
    assert torch.equal(other(batch).score, detector(batch).score)
    assert other.scoring_fingerprint == detector.scoring_fingerprint


def test_another_prompt_guidance_or_model_is_another_way_of_judging(tiny_folder, tmp_path) -> None:
    write(tmp_path / "other", seed=1)
    write(tmp_path / "same")
    base = untrained(tiny_folder).scoring_fingerprint
    assert untrained(tmp_path / "same").scoring_fingerprint == base
    assert untrained(tiny_folder, negative_prompt="unheard").scoring_fingerprint == base
    others = [{"prompt": "else"}, {"guidance": 2.0}, {"precision": "bfloat16"}, {"against": AgainstRoundTrip()}]
    assert base not in {untrained(tiny_folder, **change).scoring_fingerprint for change in others}
    assert untrained(tmp_path / "other").scoring_fingerprint != base


def test_regeneration_comes_back_nearer_with_more_steps(tiny_folder) -> None:
    detector, x_0 = untrained(tiny_folder), latents()
    with torch.no_grad():
        few, many = (
            (Regeneration((0.5,), steps)(detector.denoiser, x_0, noise_of_diffusers).x_0[:, 0] - x_0).abs().mean()
            for steps in (3, 24)
        )
    assert many < few / 2


def test_weights_that_are_absent_are_told_in_one_message(monkeypatch, tmp_path) -> None:
    pytest.importorskip("transformers")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError) as told:
        Pipeline("someone/absent").load()
    message = str(told.value)
    assert all(part in message for part in ("someone/absent", "models--someone--absent", "hf download someone/absent"))
    assert told.value.__suppress_context__
    assert "\n" not in message
    for model in ("no/such/folder", str(tmp_path / "nowhere"), "nameless"):
        with pytest.raises(FileNotFoundError, match="`model` must be a folder or a name on the hub"):
            Pipeline(model).load()
    with pytest.raises(FileNotFoundError, match="holds no Stable Diffusion in the format of diffusers"):
        Pipeline(str(tmp_path)).load()


@pytest.mark.parametrize("package", ["transformers", "peft"])
def test_a_library_that_is_absent_is_told_with_its_remedy(monkeypatch, tiny_folder, package) -> None:
    from anomaly_diffusion.baselines.lora import LoRA

    monkeypatch.setitem(sys.modules, package, None)
    call = Pipeline(str(tiny_folder)).load if package == "transformers" else lambda: LoRA().add_to(nn.Module())
    with pytest.raises(ImportError, match=rf"{package} is not installed. Run: pip install 'anomaly-diffusion\[base"):
        call()


def test_the_tiny_pipeline_says_that_it_knows_nothing(capsys, tmp_path, tiny_folder) -> None:
    folder = tmp_path / "tiny"
    assert main(["tiny_pipeline", str(folder)]) == 0
    assert "RANDOM" in capsys.readouterr().out
    assert all((folder / "tokenizer" / name).is_file() for name in ("vocab.json", "merges.txt"))
    assert main(["tiny_pipeline", str(folder)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["tiny_pipeline"]) == 2
