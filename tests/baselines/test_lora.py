import json
from pathlib import Path

import pytest
import torch
import yaml
from analytic import image_batch, seeded
from blank_pictures import blank_pictures
from commands import unchanged_process
from tiny import EXACT, LAYERS, PROMPT, SIDE, doubled, img2img_of_diffusers, in_double, tuned, untrained, walk

from anomaly_diffusion.baselines.lora import LoRA
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import experiments_folder


def latents() -> torch.Tensor:
    return torch.randn(2, 4, 8, 8, generator=seeded(1))


def noise(like: torch.Tensor) -> torch.Tensor:
    return torch.randn(like.shape, generator=seeded(3), dtype=like.dtype)


def img2img(whole, lora, weight: float | None = None, fused: bool = False) -> torch.Tensor:
    """What the pipeline of diffusers makes of `latents` with a LoRA that it has loaded itself."""
    whole.load_lora_weights(lora)
    in_double(whole)
    if fused:
        whole.fuse_lora(lora_scale=weight)
    elif weight is not None:
        whole.set_adapters(whole.get_active_adapters(), [weight])
    options = {"guidance_scale": 1.0, "generator": seeded(3), "output_type": "latent"}
    return whole([PROMPT] * 2, latents().double(), 0.6, 5, **options).images


@pytest.fixture
def whole(tiny_folder):
    return img2img_of_diffusers(tiny_folder, timestep_spacing="trailing", set_alpha_to_one=True)


def restored(detector) -> torch.Tensor:
    """What we make of the same latents, in the precision of the detector."""
    batch, x_0 = image_batch(2, SIDE, SIDE), latents().to(detector.backbone.prompts.dtype)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomaly_diffusion.detectors.diffusion_detector.NoiseStream", lambda *_: noise)
        return detector.restore(batch, x_0).x_0[:, 0]


@pytest.mark.parametrize(("weight", "fused"), [(1.0, False), (0.4, False), (0.4, True)])
def test_diffusers_loads_what_we_save_and_makes_the_same_of_it(tiny_folder, whole, tmp_path, weight, fused) -> None:
    detector = tuned(tiny_folder, lora_weight=weight)
    detector.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_lora_weights.safetensors"]
    exact = doubled(detector, whole)
    torch.testing.assert_close(restored(exact), img2img(whole, tmp_path, weight, fused), **EXACT)


def test_weight_zero_is_the_base_model_and_others_are_not(tiny_folder) -> None:
    base = restored(untrained(tiny_folder))
    assert torch.equal(restored(tuned(tiny_folder, lora_weight=0.0)), base)
    assert (restored(tuned(tiny_folder, lora_weight=1.0)) - base).abs().max() > 0.1


def test_additions_change_nothing_before_training(tiny_folder) -> None:
    from anomaly_diffusion.baselines.lora import LoRADetector
    from anomaly_diffusion.baselines.pipeline import Pipeline
    from anomaly_diffusion.diffusion.objective import Objective
    from anomaly_diffusion.scoring.scorer import Scoring

    fresh = LoRADetector(Pipeline(str(tiny_folder), PROMPT), LAYERS, Objective(), walk(), Scoring()).eval()
    assert torch.equal(restored(fresh), restored(untrained(tiny_folder)))


def test_a_checkpoint_holds_additions_and_calibration_only(tiny_folder) -> None:
    detector = tuned(tiny_folder)
    names = set(detector.state_dict())
    assert {name for name, _ in detector.named_parameters()} <= names
    assert all("lora_" in name for name, _ in detector.named_parameters())
    assert {name.partition(".")[0] for name in names if "lora_" not in name} <= {
        *("calibration", "image_threshold", "pixel_threshold", "normal_scores", "noise_seed", "scoring")
    }


def test_training_moves_the_additions_with_all_their_weight_and_without_guidance(tiny_folder, monkeypatch) -> None:
    detector, batch = tuned(tiny_folder, lora_weight=0.0, guidance=4.0), image_batch(2, SIDE, SIDE)
    for name, value in {"global_step": 3, "global_rank": 0, "log": lambda *_, **__: None}.items():
        monkeypatch.setattr(type(detector), name, value)
    asked = []
    detector.backbone.unet.register_forward_hook(lambda *_: asked.append(1))
    loss = detector.training_step(batch, 0)
    loss.backward()
    assert len(asked) == 1
    assert all(weight.grad.abs().max() > 0 for weight in detector.parameters())
    for weight in detector.parameters():
        torch.nn.init.zeros_(weight)
    assert detector.training_step(batch, 0) != loss  # they took part


def test_another_weight_or_scale_is_another_way_of_judging(tiny_folder) -> None:
    judgements = {tuned(tiny_folder, weight).scoring_fingerprint for weight in (0.0, 0.5, 1.0)}
    judgements |= {tuned(tiny_folder, lora=LoRA(rank=2, alpha=2.0)).scoring_fingerprint}
    assert len(judgements) == 4


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}])
def test_settings_out_of_range_are_refused(settings) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must be"):
        LoRA(**settings)


def test_a_weight_out_of_range_is_refused(tiny_folder) -> None:
    with pytest.raises(ValueError, match="`lora_weight` must lie in"):
        tuned(tiny_folder, lora_weight=1.5)


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_folder):
    """The command line on a shipped baseline, with the tiny pipeline and tiny data."""
    monkeypatch.chdir(tmp_path)
    blank_pictures(monkeypatch.setattr)
    data = {"dataset": {"class_path": "Textures", "init_args": {"train": 8, "validation": 6, "test": 4}}}
    data |= {"image_size": [SIDE, SIDE], "batch_size": 2}
    walk_of_two = {"init_args": {"steps": 2, "depths": {"class_path": "Strengths", "init_args": {"strengths": [0.34]}}}}
    settings = {
        "data": data,
        "wandb": {"mode": "disabled"},
        "model": {
            "init_args": {
                "pipeline": {"model": str(tiny_folder), "guidance": 2.0},
                "reconstruction": {"class_path": "PartialDiffusion", **walk_of_two},
            }
        },
        "trainer": {"log_every_n_steps": 1},
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    with unchanged_process():
        yield lambda *arguments: main(list(arguments))


def shipped(name: str) -> tuple[str, ...]:
    return ("--config", str(experiments_folder() / f"baselines/{name}.yaml"), "--config", "tiny.yaml")


def summary(folder) -> dict:
    return json.loads((Path(folder) / "summary.json").read_text())


@pytest.mark.soak
def test_img2img_runs_from_the_command_line_to_the_test_and_again(run, capsys) -> None:
    assert run("train", *shipped("sd15_img2img"), "--experiment", "sd") == 0
    assert summary("runs/sd/001")["nfe"] == 4  # two steps with guidance
    assert run("test", "--run_folder", "runs/sd/001", "--data.batch_size", "4") == 0
    again = summary("runs/sd/001/evaluations/001")
    assert again["image_auroc"] == summary("runs/sd/001")["image_auroc"]
    assert run("test", *shipped("sd15_img2img")[:2], "--model.init_args.pipeline.model", "no/such/place") == 1
    error = capsys.readouterr().err
    assert "no/such/place" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_lora_trains_from_the_command_line_and_leaves_what_diffusers_loads(run, whole) -> None:
    short = ("--trainer.max_steps", "2", "--trainer.val_check_interval", "2")
    assert run("train", *shipped("sd15_lora"), *short, "--experiment", "lora") == 0
    folder = Path("runs/lora/001")
    assert img2img(whole, folder / "lora").isfinite().all()
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert sum(value.numel() for value in best.values()) < 2 * SIDE**2 * 12  # calibration maps and additions
    assert run("test", "--run_folder", str(folder), "--model.init_args.lora_weight", "0.5") == 0


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
def test_lora_goes_on_from_where_it_was(run) -> None:
    short = ("--trainer.max_steps", "2", "--trainer.val_check_interval", "2")
    assert run("train", *shipped("sd15_lora"), *short, "--experiment", "lora") == 0
    assert run("fit", "--resume", "runs/lora/001", "--trainer.max_steps", "4") == 0
