"""Every shipped experiment parses, is a short diff with a head, and takes a step; a few run whole, all in a soak."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from blank_pictures import blank_pictures
from commands import unchanged_process
from frozen_networks import lpips_weights, taef2_weights
from pytorch_lightning.plugins.precision import Precision
from safetensors.torch import save_file

from anomaly_diffusion.baselines.tiny_clip import write_tiny_clip
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing import lightning_cli
from anomaly_diffusion.cli.parsing.arguments import experiments_folder, prepare
from anomaly_diffusion.cli.sweeping import sweep_file
from anomaly_diffusion.networks.autoencoder import ConvAutoencoder

FOLDER = experiments_folder()
MODEL = "model/pixel.yaml"
CONTROLS = (  # without a backbone
    *("model/padim.yaml", "model/patchcore.yaml", "model/vae_floor.yaml", "model/autoencoder.yaml"),
    *("model/gaussian_by_position.yaml", "model/nearest_patch.yaml"),
    *("baselines/clip.yaml", "baselines/clip_few_shot.yaml", "ablation/adversarial.yaml"),
)
PRETRAINED = ("baselines/sd15_img2img.yaml", "baselines/sd15_lora.yaml")  # whole models, with gigabytes of weights
BASES = ("model/feature.yaml", "model/latent.yaml", "model/autoencoder.yaml")
ALONE = ("model/", "baselines/", "published/")  # folders of experiments that lie on no other
LONGEST = 15
MANY = 10  # choices of a sweep beyond which they are names of categories, all parsed alike
SWEEPS = sorted((FOLDER / "sweeps").glob("*.yaml"))
FILES = sorted(set(FOLDER.rglob("*.yaml")) - {*SWEEPS, FOLDER / "base.yaml"})
OVERLAYS = [path.relative_to(FOLDER).as_posix() for path in FILES]
RUNNABLE = [name for name in OVERLAYS if not name.startswith(("data/", "published/")) and name not in PRETRAINED]
RUNNABLE += ["data/textures.yaml"]
WHOLE = ("model/pixel.yaml", "model/feature.yaml", "model/patchcore.yaml", "ablation/mask_stitch.yaml")  # of each kind
NO_FILES = ("data/textures", "data/folder", "data/tabular")  # or a user's own
REAL = [name for name in OVERLAYS if name.startswith("data/") and not name.startswith(NO_FILES)]
SMALL = ("--trainer.fast_dev_run", "1", "--wandb.mode", "disabled", "--data.batch_size", "2")
NARROW = ("--model.init_args.backbone.init_args.width", "8")
TINY, FEW = (
    tuple(f"--data.dataset.init_args.{part}={size}" for part, size in sizes.items())
    for sizes in ({"train": 8, "validation": 8, "test": 4}, {"train": 8, "validation": 2, "test": 1})
)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of random networks in the files that real ones come in, where there are no real ones."""
    folder = tmp_path_factory.mktemp("weights")
    if find_spec("transformers"):
        write_tiny_clip(folder / "openai/clip-vit-base-patch16")
    if "ANOMALY_DIFFUSION_WEIGHTS" in os.environ:
        for path in Path(os.environ["ANOMALY_DIFFUSION_WEIGHTS"]).glob("*.safetensors"):
            (folder / path.name).symlink_to(path.absolute())
        return str(folder)
    from torchvision.models import mobilenet_v2

    save_file(mobilenet_v2().state_dict(), folder / "mobilenet_v2.safetensors")
    if find_spec("timm"):
        import timm

        save_file(timm.create_model("efficientnet_lite0").state_dict(), folder / "efficientnet_lite0.safetensors")
    save_file(lpips_weights(), folder / "stlpips_alex.safetensors")
    save_file(taef2_weights(), folder / "taef2.safetensors")
    return str(folder)


@pytest.fixture(scope="session")
def autoencoder(tmp_path_factory):
    """The checkpoint of an autoencoder as experiments/model/autoencoder.yaml would train it."""
    shape = yaml.safe_load((FOLDER / "model/autoencoder.yaml").read_text())["model"]["init_args"]["autoencoder"]
    state = ConvAutoencoder(**shape["init_args"]).state_dict()
    path = tmp_path_factory.mktemp("autoencoder") / "best.ckpt"
    torch.save({"state_dict": {f"autoencoder.{name}": value for name, value in state.items()}}, path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, weights, autoencoder):
    """The command line, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    blank_pictures(monkeypatch.setattr)
    (tmp_path / "runs/autoencoder/001/checkpoints").mkdir(parents=True)
    (tmp_path / "runs/autoencoder/001/checkpoints/best.ckpt").symlink_to(autoencoder)
    with unchanged_process():
        os.environ["ANOMALY_DIFFUSION_WEIGHTS"] = weights
        yield lambda *arguments: main(list(arguments))


def below(name):
    """The model that an overlay changes: the one in the head of the file, or else that of pixels."""
    text = (FOLDER / name).read_text()
    return next((model for model in BASES if model in text), MODEL)


def stacked(name):
    """Options that lay an experiment on the model below it; a model stands alone."""
    return ("--config", name) if name.startswith(ALONE) else ("--config", below(name), "--config", name)


def smaller(name):
    """The smallest frames on which an experiment runs."""
    if "clip" in name or "patchcore" in name:
        return ()  # frames of a size of their own; one in a hundred of many patches
    if "autoencoder" in name:
        return ("--data.image_size=[128, 128]",)  # crops of so many pixels
    crops = "crop:" in (FOLDER / name).read_text()
    side = 32 if not name.startswith(ALONE) and below(name) == MODEL and not crops else 64
    return (f"--data.image_size=[{side}, {side}]",)


def test_an_experiment_is_a_short_diff_with_a_head():
    lines = {name: (FOLDER / name).read_text().splitlines() for name in OVERLAYS}
    long = {name for name, found in lines.items() if len(found) > LONGEST and not name.startswith("published/")}
    assert [name for name in OVERLAYS if not lines[name][0].startswith("# ") or name in long] == []


def model_class(name):
    return (yaml.safe_load((FOLDER / name).read_text()).get("model") or {}).get("class_path")


def test_an_overlay_keeps_the_class_of_the_model_below_it():
    kept = {name: {None, model_class(below(name))} for name in OVERLAYS if not name.startswith(ALONE)}
    assert [name for name, allowed in kept.items() if model_class(name) not in allowed] == []


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name not in (*RUNNABLE, *PRETRAINED)])
def test_every_experiment_that_is_not_run_here_parses(run, name):
    with pytest.raises(SystemExit) as stop:
        run("train", *stacked(name), "--print_config")
    assert stop.value.code == 0


def needs(name):
    """Skip where a package is not installed."""
    if "clip" in name:
        pytest.importorskip("transformers")
    if "Timm" in (FOLDER / name).read_text():
        pytest.importorskip("timm")


def sized(name, photographs=TINY):
    """Options that make an experiment small."""
    return *(() if name in CONTROLS else NARROW), *smaller(name), *photographs


class Built(lightning_cli.DetectorCLI):
    """A command line that ends with its model and data built: nothing is run, no folder made."""

    def instantiate_trainer(self):
        return None

    def after_instantiate_classes(self):
        pass

    def run_verb(self):
        pass


def built(name):
    """The detector and the data of an experiment; what a trainer would tell them stands in its place."""
    lightning_cli.import_rooms()
    with warnings.catch_warnings():
        lightning_cli.quieten()
        made = Built(prepare("fit", [*stacked(name), *SMALL, *sized(name, FEW)]), *lightning_cli.classes())
    model, data = made.model, made.datamodule
    data.setup("fit")
    model.trainer = SimpleNamespace(
        datamodule=data,
        val_dataloaders=data.val_dataloader(),
        precision_plugin=Precision(),
        global_step=0,
        global_rank=0,
    )
    return model, data


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_experiment_takes_a_step_and_judges_an_image(run, monkeypatch, name):
    needs(name)
    model, data = built(name)
    monkeypatch.setattr(type(model), "log", lambda *_, **__: None)
    model.on_fit_start()
    loss = model.training_step(next(iter(data.train_dataloader())), 0)
    if loss is not None and loss.requires_grad:
        loss.backward()
    model.eval().on_validation_epoch_start()
    batch = next(iter(data.val_dataloader()))
    image = batch.rows(torch.arange(len(batch.path)) == 0)
    judged = model.test_step(image, 0)
    assert judged.score.isfinite().all()
    assert judged.anomaly_map.shape == image.mask.shape


@pytest.mark.parametrize(
    "name", [name if name in WHOLE else pytest.param(name, marks=pytest.mark.soak) for name in RUNNABLE]
)
def test_every_experiment_runs(run, name):
    needs(name)
    verb = "train" if name.startswith(ALONE) else "fit"  # which judges as a test does, when it validates
    assert run(verb, *stacked(name), *SMALL, *sized(name)) == 0


@pytest.mark.soak  # as baselines/test_lora.py does
@pytest.mark.parametrize("name", PRETRAINED)
def test_every_experiment_on_stable_diffusion_runs_with_a_tiny_one(run, name):
    for package in ("transformers", "peft"):
        pytest.importorskip(package)
    assert run("tiny_pipeline", "tiny") == 0
    small = ("--model.init_args.pipeline.model", "tiny", "--data.image_size", "[64,64]")
    assert run("train", *stacked(name), *SMALL, *small, *TINY) == 0


def test_a_refusal_deep_inside_a_detector_is_told_in_its_own_words(run, capsys):
    residuals = "[{class_path: SSIMResidual, init_args: {sigma: 0.0}}]"
    assert (
        run("train", "--config", MODEL, f"--model.init_args.scoring.residuals={residuals}", *SMALL, *NARROW, *TINY) == 1
    )
    refusal = [line for line in capsys.readouterr().err.splitlines() if " overrules " not in line]
    assert refusal[0] == "error: `sigma` must be positive, got 0.0."


@pytest.mark.soak
@pytest.mark.parametrize("name", REAL)
def test_every_experiment_on_real_images_runs(run, name):
    data = Path(os.environ.get("ANOMALY_DIFFUSION_DATA", "nowhere"))
    merged = yaml.safe_load((FOLDER / name).read_text())["data"]["dataset"]["init_args"]
    if not (data / merged["root"] / merged.get("category", "")).is_dir():
        pytest.skip("ANOMALY_DIFFUSION_DATA names no folder with this data set")
    assert run("fit", "--config", MODEL, "--config", name, *SMALL, *NARROW) == 0


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.soak) if path.stem == "visa" else path for path in SWEEPS],
    ids=lambda path: path.stem,
)
def test_every_choice_of_a_sweep_parses(run, path):
    sweep = sweep_file.read(path)
    trials = sweep.trials(count=2 if sweep.method == "random" else None)
    seen = set()
    words = {name for name, has in sweep.parameters.items() if name != "config" and len(has.get("values", ())) > MANY}
    for trial in trials:
        choices = {(name, str(value)) for name, value in trial.parameters.items() if name not in words}
        if choices <= seen:
            continue
        seen |= choices
        with pytest.raises(SystemExit) as stop:
            run(*sweep.words(trial), "--print_config")
        assert stop.value.code == 0
