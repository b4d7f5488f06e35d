"""Whatever ends a training, its run can judge: it is validated, calibrated, and has a best.ckpt of its last step."""

import pytest
import torch
from program import Program

EPOCH = 6  # training steps; validations come every four


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("ending"))


def trained(program, name, *words, kill=None, status=0):
    found, said = program("fit", "--config", "tiny.yaml", "--run", name, *words, kill=kill)
    assert found == status, said
    assert "Traceback" not in said
    return program.run(name)


def stored(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def succeeds(program, verb, *words):
    status, said = program(verb, *words)
    assert status == 0, said
    return said


BY_EPOCHS = ("--trainer.max_steps=-1", "--trainer.max_epochs=1")
RARELY = "--trainer.val_check_interval=100000"
WAYS = {
    "steps": (("--trainer.max_steps=3",), 3),
    "between-validations": (("--trainer.max_steps=6",), 6),
    "epochs": (BY_EPOCHS, EPOCH),
    "no-epoch-validated": (
        (*BY_EPOCHS, "--trainer.check_val_every_n_epoch=5", "--trainer.val_check_interval=1.0"),
        EPOCH,
    ),
    "time": (("--trainer.max_steps=-1", "--trainer.max_time=00:00:00:01", RARELY), None),
    "least-epochs": (("--trainer.max_time=00:00:00:00", "--trainer.min_epochs=1", RARELY), EPOCH),
    "accumulated": (("--trainer.max_steps=2", "--trainer.accumulate_grad_batches=2", RARELY), 2),
}
OFTEN = ("between-validations", "time")


@pytest.mark.parametrize("way", [way if way in OFTEN else pytest.param(way, marks=pytest.mark.soak) for way in WAYS])
def test_whatever_ends_training_the_run_can_judge(program, way):
    words, step = WAYS[way]
    folder = trained(program, way, *words)
    last = stored(folder, "last")
    assert step in (None, last["global_step"])
    for checkpoint in (last, stored(folder, "best")):
        assert checkpoint["state_dict"]["calibration.count"] > 1
        assert checkpoint["state_dict"]["image_threshold"].isfinite()
    assert "validating first" not in succeeds(program, "predict", "--run_folder", str(folder))


def test_the_first_ctrl_c_ends_a_training_that_can_judge_and_be_gone_on_with(program):
    folder = trained(program, "ctrl-c", kill=("ctrl-c", 2), status=130)
    assert stored(folder, "best")["global_step"] == stored(folder, "last")["global_step"] == 2
    succeeds(program, "predict", "--run_folder", str(folder))
    succeeds(program, "fit", "--resume", str(folder))
    whole = trained(program, "uninterrupted")
    mine, other = (stored(place, "last")["state_dict"] for place in (folder, whole))
    assert all(torch.equal(mine[name], other[name]) for name in other)


@pytest.mark.soak
def test_ctrl_c_at_a_terminal_reaches_the_workers_too_and_they_go_on(program):
    words = ("--data.loading.num_workers=1", "--data.loading.cache_mb=0", "--trainer.val_check_interval=5000")
    folder = trained(program, "workers", *words, kill=("ctrl-c group", 3), status=130)
    assert stored(folder, "best")["global_step"] == 3


def test_the_second_ctrl_c_ends_it_at_once(program):
    folder = trained(program, "twice", kill=("ctrl-c twice", 2), status=130)
    assert not list(folder.glob("checkpoints/*.ckpt"))


@pytest.mark.parametrize(
    ("name", "first", "more"),
    [
        ("steps-on", ("--trainer.max_steps=5",), ("--trainer.max_steps=8",)),
        pytest.param("whole-epoch-on", ("--trainer.max_steps=6",), ("--trainer.max_steps=14",), marks=pytest.mark.soak),
        pytest.param("epochs-on", BY_EPOCHS, ("--trainer.max_epochs=3",), marks=pytest.mark.soak),
    ],
)
def test_a_finished_run_gone_on_with_ends_as_one_that_was_planned_so(program, name, first, more):
    """The rates of two plans differ, so the optimiser is one without a schedule."""
    constant = ("--optimizer=AdamW", "--lr_scheduler=ConstantLR", "--lr_scheduler.init_args.factor=1.0")
    folder = trained(program, name, *constant, *first)
    succeeds(program, "fit", "--resume", str(folder), *more)
    whole = trained(program, f"{name}-whole", *constant, *first, *more)
    mine, other = (stored(place, "last") for place in (folder, whole))
    assert mine["global_step"] == other["global_step"]
    assert all(torch.equal(mine["state_dict"][key], value) for key, value in other["state_dict"].items())


@pytest.fixture
def old(program):
    """A run as earlier versions left it: trained, and never validated."""
    folder = trained(program, "old", "--trainer.max_steps=3")
    last = stored(folder, "last")
    last["state_dict"]["calibration.count"].zero_()
    for name, state in last["callbacks"].items():
        if name.startswith("ModelCheckpoint"):
            state |= {"best_model_path": "", "best_k_models": {}, "kth_best_model_path": ""}
    torch.save(last, folder / "checkpoints/last.ckpt")
    (folder / "checkpoints/best.ckpt").unlink()
    yield folder
    folder.rename(folder.with_name(f"old-{len(list(folder.parent.iterdir()))}"))


@pytest.mark.parametrize(
    "verb", ["predict", *(pytest.param(verb, marks=pytest.mark.soak) for verb in ("validate", "test"))]
)
def test_a_run_that_was_never_validated_is_validated_before_it_judges(program, old, verb):
    said = succeeds(program, verb, "--run_folder", str(old))
    assert ("validating first" in said) == (verb != "validate")


@pytest.mark.soak
def test_a_run_that_was_never_validated_gets_its_best_checkpoint_when_it_is_resumed(program, old):
    weights = stored(old, "last")["state_dict"]
    succeeds(program, "train", "--resume", str(old))
    best = stored(old, "best")
    assert best["global_step"] == 3
    assert best["state_dict"]["calibration.count"] > 1
    trainable = [name for name in weights if name.startswith("denoiser.")]
    assert all(torch.equal(weights[name], best["state_dict"][name]) for name in trainable), "the averaged ones"


def test_unknown_photographs_cannot_calibrate_and_that_is_said_in_one_message(program, old):
    folder = program.folder / "unknown"
    folder.mkdir()
    words = ("--run_folder", str(old), f"--data.dataset={{class_path: Images, init_args: {{root: {folder}}}}}")
    status, said = program("predict", *words)
    assert status == 1
    assert "Traceback" not in said
    assert "train --resume" in said


def test_a_detector_without_a_checkpoint_is_refused_in_one_message(program):
    (program.folder / "latent.yaml").write_text(
        "model: {class_path: LatentDetector, init_args: {autoencoder: ConvAutoencoder}}"
    )
    status, said = program("test", "--config", "tiny.yaml", "--config", "latent.yaml")
    assert (status, "Traceback" in said) == (1, False), said
    assert "error: The detector has seen no normal image" in said


def test_validation_cannot_be_switched_off(program):
    status, said = program("fit", "--config", "tiny.yaml", "--trainer.limit_val_batches=0")
    assert status == 2
    assert "`trainer.limit_val_batches` must be positive" in said
