"""Every recipe of a paper takes two steps at a tiny size and judges an image; its size and cost are told truly."""

import importlib
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import test_experiments
import torch
import yaml

from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.reconstruction.mask_stitch import MaskStitchResample
from anomaly_diffusion.reconstruction.strategy import Reconstruction

FOLDER = experiments_folder() / "published"
PAGE = Path(__file__).parents[1] / "docs/published_recipes.md"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TOLD = {"invad": 1.2e9}  # weights, where a paper was found to tell them
MOST_OF_HEAD = 12
SMALL: dict[str, Any] = {  # settings that a tiny recipe has, wherever it has them
    "blocks": 1, "head_channels": 8, "groups": 4, "width": 16, "depth": 2, "heads": 2, "components": 8,
    "stages": ["features.3", "features.6"], "samples": 2,
}  # fmt: skip
weights, run = test_experiments.weights, test_experiments.run
autoencoder = test_experiments.autoencoder
recipes = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return recipe


def shrunk(part: Any) -> Any:
    """A part of a recipe with a tiny network, and features of a small one whose weights are at hand."""
    if isinstance(part, list):
        return [shrunk(item) for item in part]
    if not isinstance(part, dict):
        return part
    small = {key: SMALL[key] if key in SMALL else shrunk(value) for key, value in part.items()}
    if "widths" in part:
        small |= {"widths": [8, 8, 8], "attention": [2] if "attention" in part else []}
    if part.get("class_path") == "TorchvisionFeatures":
        small["init_args"]["name"] = "mobilenet_v2"
    if part.get("class_path") == "TimmFeatures":
        small["init_args"] |= {"name": "efficientnet_lite0", "stages": [0, 1]}
    if part.get("class_path") == "InvAD":
        small["init_args"]["depth"] = part["init_args"]["depth"]  # of noise, not of a network
    return small


@pytest.fixture
def tiny(tmp_path, name):
    """File of a recipe made tiny."""
    recipe = shrunk(deepcopy(read(name)))
    side = 64 if name in ("d3ad", "glad", "invad") else 32  # of a latent or features, a few positions are left
    recipe["data"] |= {"image_size": [side, side], "batch_size": 2}
    if name == "glad":
        for package in ("transformers", "peft"):
            pytest.importorskip(package)
        from anomaly_diffusion.baselines.tiny_stable_diffusion import write

        write(tmp_path / "pipeline")
        recipe["model"]["init_args"]["pipeline"]["model"] = str(tmp_path / "pipeline")
    test_experiments.needs(f"published/{name}.yaml")
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def shorten(strategy: Reconstruction) -> None:
    """Two strides instead of hundreds."""
    strategy.steps = min(strategy.steps, 2)
    if isinstance(strategy, MaskStitchResample):
        strategy.resampling.steps, strategy.resampling.loops = 2, 2


@recipes
def test_a_recipe_takes_two_steps_and_judges_an_image(run, monkeypatch, tiny, name) -> None:
    monkeypatch.setattr(test_experiments, "stacked", lambda _: ("--config", str(tiny)))
    monkeypatch.setattr(test_experiments, "sized", lambda _, few: few)
    model, data = test_experiments.built(name)
    monkeypatch.setattr(type(model), "log", lambda *_, **__: None)
    model.on_fit_start()
    shorten(model.reconstruction)  # a walk of full length has been accepted
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in learnt]
    optimizer = torch.optim.SGD(learnt, 1e-3)
    for step, batch in zip(range(2), data.train_dataloader(), strict=False):
        optimizer.zero_grad()
        model.training_step(batch, step).backward()
        optimizer.step()
    assert sum(not torch.equal(old, new) for old, new in zip(before, learnt, strict=True)) > 2
    model.eval().on_validation_epoch_start()
    batch = next(iter(data.val_dataloader()))
    judged = model.test_step(batch.rows(torch.arange(len(batch.path)) == 0), 0)
    assert judged.score.isfinite().all()


@pytest.fixture(scope="module")
def computed():
    """The benchmark, whose module is not in the package."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("recipes")
    sys.path.remove(folder)


@recipes
def test_size_and_cost_that_head_and_page_tell_are_those_that_are_computed(computed, name) -> None:
    head = " ".join(line.lstrip("# ") for line in (FOLDER / f"{name}.yaml").read_text().splitlines() if line[0] == "#")
    found = computed.cost(FOLDER / f"{name}.yaml")
    assert f"Size: {computed.size_line(found)}" in head
    assert f"Cost: {computed.cost_line(found)}" in head
    (row,) = [line for line in PAGE.read_text().splitlines() if f"| [{name}](" in line]
    assert f"| {found.weights / 1e6:.1f} M | {found.hours()[0]:.2g} | {found.nfe} |" in row
    if name in TOLD:
        assert abs(found.weights / TOLD[name] - 1) < 0.05
    else:
        assert "the paper's size: not found" in head


def test_the_network_of_four_papers_has_as_many_weights_as_their_code_makes(computed) -> None:
    assert computed.cost(FOLDER / "ddad.yaml").weights == guided_diffusion(64)
    assert computed.cost(FOLDER / "anoddpm.yaml").weights == guided_diffusion(128)


def guided_diffusion(width: int) -> int:
    """Weights of the U-Net that AnoDDPM took from Dhariwal & Nichol, for 256 pixels and attention at 32, 16 and 8."""

    def convolution(given: int, put: int, side: int) -> int:
        return given * put * side**2 + put

    def block(given: int, put: int) -> int:
        shortcut = convolution(given, put, 1) if given != put else 0
        inside = convolution(given, put, 3) + convolution(put, put, 3)
        return inside + shortcut + 2 * given + 2 * put + convolution(4 * width, put, 1)

    def attention(level: int) -> int:
        at = widths[level]
        return 2 * at + convolution(at, 3 * at, 1) + convolution(at, at, 1) if level > 2 else 0

    widths = [width * multiplier for multiplier in (1, 1, 2, 2, 4, 4)]
    total = convolution(width, 4 * width, 1) + convolution(4 * width, 4 * width, 1) + convolution(3, width, 3)
    skips, now = [width], width
    for level, put in enumerate(widths):
        for _ in range(2):
            total, now = total + block(now, put) + attention(level), put
            skips.append(now)
        if level < 5:
            total += block(now, now)
            skips.append(now)
    total += 2 * block(now, now) + attention(5)
    for level in range(5, -1, -1):
        for _ in range(3):
            total, now = total + block(now + skips.pop(), widths[level]) + attention(level), widths[level]
        total += block(now, now) if level else 0
    return total + 2 * now + convolution(now, 3, 3)


@recipes
def test_a_head_is_short_and_tells_what_differs(name) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert len(head) <= MOST_OF_HEAD
    assert len(lines) - len(head) <= test_experiments.LONGEST
    told = [f"# {word}:" for word in ("Same", "Differs", "Size", "Cost", "Theirs", "Result")]
    assert [word for word in told if not any(line.startswith(word) for line in head)] == []
