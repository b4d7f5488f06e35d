"""No documented option ends in a traceback: a walk over the tree of settings, each with its edge values."""

import itertools
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.exc
import yaml
from option_tree import LONG, RUN, SMALLEST, START, Case, Tree, judged
from PIL import Image
from program import Program

from anomaly_diffusion.cli.main import main
from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.cli.user_errors import explain, is_mistake

LIMITS = {"seconds": 60, "megabytes": 3000}
SAMPLE = 12
LONGER = ("--trainer.max_steps=4",)
SWEEP = {
    "method": "random",
    "metric": {"name": "val/pixel_ap"},
    "command": ["anomaly-diffusion", "train", "--config", "tiny.yaml", "${args}"],
    "parameters": {"optimizer.init_args.lr": {"distribution": "uniform", "min": 0.001, "max": 0.01}},
}
KEPT = {"tiny.yaml", "sweep.yaml", "photographs", "mvtec_ad", "mvtec_loco_ad", "compiled", "output.txt", "runs"}


def prepared(folder: Path) -> Program:
    """A program in a folder with a tiny config, a trained run, a sweep and photographs."""
    program = Program(folder)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SMALLEST))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 20), dtype=np.uint8)
    for number, image in enumerate(pixels):
        place = folder / "photographs" / ("good" if number < 9 else "scratched")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    for name, mask in (("mvtec_ad", "{}_mask.png"), ("mvtec_loco_ad", "{}/000.png")):
        lay_out(folder / "photographs", folder / name / "part", mask)
    status, said = program("train", "--config", "tiny.yaml", "--run", "base")
    assert status == 0, said
    return program


def lay_out(photographs: Path, category: Path, mask: str) -> None:
    """Copy photographs into the layout of MVTec's sets, with masks of such names."""
    for path in sorted(photographs.glob("*/*.png")):
        good = path.parent.name == "good"
        uses = {"good": ("train", "validation", "test") if int(path.stem) % 2 else ("train",)}
        for use in uses.get(path.parent.name, ("test",)):
            place = category / use / ("good" if good else "scratched") / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
        if not good:
            place = category / "ground_truth" / "scratched" / mask.format(path.stem)
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(place)
    kind = {"pixel_value": 255, "defect_name": "scratched", "saturation_threshold": 1, "relative_saturation": True}
    (category / "defects_config.json").write_text(json.dumps([kind]))


def tidy(folder: Path) -> None:
    """Remove what a case has left beside what `prepared` has made."""
    left = [path for path in folder.iterdir() if path.name not in KEPT]
    left += [path for path in (folder / "runs").iterdir() if path.name != "tiny"]
    left += [path for path in (folder / "runs" / "tiny").iterdir() if path.name != "base"]
    for path in [*left, folder / RUN / "evaluations"]:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def shipped() -> list[str]:
    return sorted(str(path) for path in (experiments_folder() / "ablation").glob("*.yaml"))


CASES = {
    "training": Tree.training,
    "classes": Tree.classes,
    "overlays": lambda tree: tree.overlays(shipped()),
    "evaluations": Tree.evaluations,
    "others": Tree.others,
    "pairs": lambda tree: tree.pairs(500),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder / "compiled"))  # which a case may leave torn
        patch.delenv("ANOMALY_DIFFUSION_DATA", raising=False)  # where other categories lie
        yield prepared(folder)


def walk(program: Program, cases: list[Case]) -> list[str]:
    """Carry out cases, and tell what is wrong with how they ended."""
    found = []
    for case in cases:
        status, said = program(*case.words, limits=LIMITS)
        if problem := judged(case, status, said):
            found.append(f"{problem}: {' '.join(case.words)}\n{said[-1500:]}")
        tidy(program.folder)
    return found


def test_a_sample_of_all_settings_ends_well_or_with_one_message(program):
    tree = Tree(program)
    cases = list(itertools.chain(tree.training(), tree.evaluations(), tree.others()))
    cases = [case for case in cases if case.option not in LONG]
    assert len(cases) > 3000
    found = walk(program, random.Random(17).sample(cases, SAMPLE))
    assert not found, "\n\n".join(found)


def told(program: Program, *words: str) -> tuple[int, str]:
    """How a command ends, and what it says, which is no traceback."""
    status, said = program(*words, limits=LIMITS)
    tidy(program.folder)
    assert "Traceback" not in said
    return status, said


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (
            ("--config", "ablation/simplex_noise.yaml", "--config", "model/pixel.yaml"), 2,
            "simplex_noise.yaml changes a model, but no --config before it names one. The order: "
            "--config experiments/model/pixel.yaml --config experiments/ablation/simplex_noise.yaml",
        ),
        (("--config", "ablation/simplex_noise.yaml"), 2, "no --config before it names one. The order:"),
        (
            ("--data.batch_size", "3", "--config", "tiny.yaml"), 2,
            "`--data.batch_size` stands before --config tiny.yaml, which sets it too: name it after that.",
        ),
        (
            ("--config", "tiny.yaml", "--config", "ablation/simplex_noise.yaml"), 0,
            "simplex_noise.yaml overrules tiny.yaml in model.noise",
        ),
    ],
)  # fmt: skip
def test_what_the_order_of_configs_overrules_is_said(program, words, status, line):
    ended, said = told(program, "train", *words)
    assert ended == status, said
    assert line in said


def test_a_note_on_what_is_overruled_is_no_part_of_a_config_that_is_printed(program, capfd):
    words = ["train", "--config", "model/pixel.yaml", "--config", "ablation/simplex_noise.yaml", "--print_config"]
    with pytest.raises(SystemExit):
        main(words)
    printed, noted = capfd.readouterr()
    assert yaml.safe_load(printed)["model"]["init_args"]["noise"]["class_path"].endswith("SimplexNoise")
    assert "simplex_noise.yaml overrules pixel.yaml in model.noise" in noted


def foreign(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "state_dict": {"layer.weight": torch.zeros(3)}}


# what becomes of a checkpoint, a verb, and what is said: nothing where it is taken
CHECKPOINTS = {
    "weights of another model": (foreign, "test", "is not of this PixelDetector: .* is missing, layer.weight is unk"),
    "weights alone": (lambda content: {"state_dict": content["state_dict"]}, "test", ""),
    "weights alone, to train": (
        lambda content: {"state_dict": content["state_dict"]}, "fit", "cannot go on from .* no epoch, global_step"
    ),
    "of the first release": (
        lambda content: {key: value for key, value in content.items() if key not in FIRST_HAD_NOT}, "test", ""
    ),
    "no mapping": (lambda content: content["state_dict"], "test", "holds no `state_dict`"),
    "a tensor": (lambda content: torch.zeros(3), "test", "holds no `state_dict`"),
    "words for weights": (lambda content: {"state_dict": {"a": 1}}, "test", "its `state_dict` holds more than tensors"),
    "callbacks that are none": (lambda content: {**content, "callbacks": 7}, "test", "its `callbacks` is no dict"),
}  # fmt: skip
FIRST_HAD_NOT = ("scoring_settings", "model", "frame")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_of_others_is_loaded_or_told_in_one_message(program, name):
    change, verb, message = CHECKPOINTS[name]
    content = torch.load(program.run("base") / "checkpoints" / "best.ckpt", weights_only=True)
    torch.save(change(content), program.folder / "other.ckpt")
    status, said = told(program, verb, "--config", "tiny.yaml", "--ckpt_path", "other.ckpt")
    assert (status == 1) == bool(message), said
    errors = said[said.index("error: ") :].splitlines() if message else []
    assert re.search(message, errors[0] if errors else "")
    assert len(errors) <= 2


@pytest.mark.parametrize(
    ("option", "differs"),
    [
        ("--model.init_args.backbone.init_args.width=16", r"init_args\.width is 8 there and 16 here"),
        ("--data.channels=3", "data.channels is 1 there and 3 here"),
    ],
)
def test_a_checkpoint_of_other_settings_names_them(program, option, differs):
    status, said = told(program, "test", "--run_folder", RUN, option)
    assert status == 1
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert re.search(rf"more of its \d+ tensors differ. Settings that differ: .*{differs}", line)


def test_a_run_judged_at_another_size_is_calibrated_anew_or_refused(program):
    larger = "--run_folder", RUN, "--data.image_size=[32,32]"
    reason = "The checkpoint was calibrated for images of 16 x 16 pixels, but `data.image_size` is 32 x 32"
    status, said = told(program, "predict", *larger)
    assert status == 0, said
    assert f"{reason}: validating first." in said
    unknown = "--data.dataset={class_path: Images, init_args: {root: photographs/good}}"
    status, said = told(program, "predict", *larger, unknown)
    assert status == 1
    assert f"error: {reason}, and unknown photographs cannot calibrate it." in said
    status, said = told(program, "predict", "--run_folder", RUN, unknown)
    assert status == 0, said
    assert "calibrated" not in said


def test_a_run_may_go_on_with_images_of_another_size(program):
    shutil.copytree(program.run("base"), program.run("larger"))
    words = ("train", "--resume", "runs/tiny/larger", "--data.image_size=[32,32]", *LONGER)
    status, said = program(*words, limits=LIMITS)
    assert status == 0, said
    summary = json.loads((program.run("larger") / "summary.json").read_text())
    assert "mean_image" in summary["controls"], "the controls learn from the larger images"
    tidy(program.folder)


@pytest.mark.parametrize(("option", "others"), [("fast_dev_run", "max_steps"), ("overfit_batches", "limit_train")])
def test_what_another_setting_of_the_trainer_overrules_is_said(program, option, others):
    status, said = told(program, *START, f"--trainer.{option}=1")
    assert status == 0, said
    assert f"`trainer.{option}` overrules {others}" in said


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.min_steps=9", "`trainer.min_steps` must be at most `trainer.max_steps`, 2, got 9."),
        ("--model.init_args.backbone.init_args.channels=5", "channels` must be 1, .* got 5. Leave it out"),
        ("--return_predictions=true", "`return_predictions` must be false"),
        ("--acceleration.auto=true --trainer.devices=2", "must be false here: each of several processes would choose"),
        ("--acceleration.auto=true --trainer.precision=bf16-mixed", "must be false here: `trainer.precision` is bf16"),
        ("--acceleration.auto=true", "must be false here: a run's arithmetic is chosen when its training begins"),
    ],
)
def test_a_setting_that_another_one_overrules_is_refused(program, option, message):
    verb = ("predict", "--run_folder", RUN) if option.endswith("=true") else START
    status, said = told(program, *verb, *option.split())
    assert status == 2
    assert re.search(f"error: .*{message}", said)


def test_an_unknown_category_lists_those_that_are_there(program):
    chosen = "--data.dataset=MVTecAD", "--data.dataset.init_args.category=wrong"
    status, said = told(program, "train", "--config", "tiny.yaml", *chosen)
    assert status == 1
    assert "`category` (or the last folder of the path) must be one of: part, got wrong." in said


def test_what_the_compiler_cannot_do_names_the_option(program, monkeypatch):
    error = torch._inductor.exc.InductorError(OSError("no compiler"), None)
    assert is_mistake(error)
    assert re.match("error: `acceleration.compile` must be false .*C[+][+] compiler", explain(error))


@pytest.mark.soak
@pytest.mark.parametrize("kind", CASES)
def test_every_setting_ends_well_or_with_one_message(program, kind):
    found = walk(program, list(CASES[kind](Tree(program))))
    assert not found, "\n\n".join(found)
