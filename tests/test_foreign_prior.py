"""The benchmark of foreign priors measures what it says, on signals whose answer is known, and runs at a tiny size."""

import csv
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from analytic import seeded
from torch.nn import functional as F


@pytest.fixture(scope="module")
def prior():
    """The benchmark, which is in no package."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("foreign_prior")
    sys.path.remove(folder)


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(6, 3, 32, 32, generator=seeded(seed))


def test_a_blur_adds_nothing_and_a_copy_neither(prior) -> None:
    x, valid = images(), torch.ones(6, 1, 32, 32, dtype=torch.bool)
    kernel = torch.full((3, 1, 3, 3), 1 / 9)
    blurred = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), kernel, groups=3)
    assert prior.added_power(x, x, valid) == pytest.approx(0, abs=1e-5)
    assert prior.added_power(x, 0.5 * x, valid) == pytest.approx(0, abs=1e-5)
    assert prior.added_power(x, blurred, valid) < 0.05  # rings are not narrow enough to have one response


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_is_independent_of_the_image_is_added(prior, strength) -> None:
    x, other, valid = images(0), images(1), torch.ones(6, 1, 32, 32, dtype=torch.bool)
    assert prior.added_power(x, x + strength * other, valid) == pytest.approx(strength**2, rel=0.15)


def test_batches_take_from_every_set_alike(prior) -> None:
    sets = [torch.zeros(2, 1, 4, 4), torch.ones(50, 1, 4, 4)]
    seen = torch.cat(list(prior.batches(sets, 8, 50, seeded())))
    assert 0.4 < seen.mean() < 0.6


def test_additions_change_nothing_before_they_are_trained_and_are_all_that_is(prior) -> None:
    pytest.importorskip("peft")
    denoiser = prior.network(8)
    tuned = prior.with_additions(denoiser, rank=2)
    x_t, t = images(), torch.full((6,), 0.4)
    with torch.no_grad():
        assert torch.equal(tuned(x_t, t).x_0, denoiser(x_t, t).x_0)
    learnt = {name for name, weight in tuned.named_parameters() if weight.requires_grad}
    assert learnt
    assert all("lora_" in name for name in learnt)
    assert all(weight.requires_grad for weight in denoiser.parameters())


def test_all_arms_are_measured_at_every_depth_and_seeds_stand_side_by_side(prior, monkeypatch, tmp_path) -> None:
    pytest.importorskip("peft")
    monkeypatch.setattr(prior, "DEPTHS", (0.5,))
    strategies = {"one-shot": prior.OneShot((0.5,), draws=0), "walk": prior.PartialDiffusion((0.5,), steps=1)}
    monkeypatch.setattr(prior, "STRATEGIES", strategies)
    x = images().clamp(-1, 1)
    valid = torch.ones(6, 1, 32, 32, dtype=torch.bool)
    mask = torch.zeros_like(valid)
    mask[3:, :, 8:14, 8:14] = True
    label = mask.flatten(1).any(1)
    plain, spoilt = (batch_of(prior, x, torch.zeros_like(valid), valid), batch_of(prior, x + mask, mask, valid))
    test = spoilt._replace(label=label)
    rows = torch.arange(3, 6)
    target = prior.Target(x, plain, spoilt.rows(rows), x[rows], test)
    monkeypatch.setattr(prior, "read", lambda *_: target)
    for seed in (0, 1):
        words = f"a.yaml b.yaml --targets a --steps 1 --tuning 1 --ranks 2 --width 8 --batch 2 --seed {seed}".split()
        monkeypatch.setattr(sys, "argv", ["foreign_prior.py", *words, "--output", str(tmp_path)])
        prior.main()
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [row["seed"] for row in rows] == [0] * 10 + [1] * 10
    assert {row["arm"] for row in rows} == {"own", "short", "foreign", "lora_2", "full"}
    assert all(0 <= row["pixel_ap"] <= 1 and row["added"] >= 0 for row in rows)
    assert len(list(csv.DictReader((tmp_path / "figures.csv").read_text().splitlines()))) == 20
    assert (tmp_path / "figures.png").stat().st_size > 5000


def batch_of(prior, image: torch.Tensor, mask: torch.Tensor, valid: torch.Tensor):
    count = len(image)
    blank = torch.zeros(count, dtype=torch.int64)
    names = [f"{number}.png" for number in range(count)]
    size = torch.tensor([[32, 32]]).repeat(count, 1)
    return prior.ImageBatch(
        image, mask, valid, mask.flatten(1).any(1), blank, torch.arange(count), size, names, names, None
    )
