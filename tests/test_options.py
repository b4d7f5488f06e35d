"""No documented option ends in a traceback: a walk over the tree of settings, each with its edge values."""

import itertools
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from option_tree import RUN, SMALLEST, Case, Tree, judged
from PIL import Image
from program import Program

from anomaly_diffusion.commands.arguments import experiments_folder

LIMITS = {"seconds": 60, "megabytes": 3000}
SAMPLE = 60
SWEEP = {
    "method": "random",
    "metric": {"name": "val/pixel_ap"},
    "command": ["anomaly-diffusion", "train", "--config", "tiny.yaml", "${args}"],
    "parameters": {"optimizer.init_args.lr": {"distribution": "uniform", "min": 0.001, "max": 0.01}},
}
KEPT = {"tiny.yaml", "sweep.yaml", "photographs", "output.txt", "runs"}


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
    status, said = program("train", "--config", "tiny.yaml", "--run", "base")
    assert status == 0, said
    return program


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
    program = prepared(tmp_path_factory.mktemp("options"))
    yield program
    program.close()


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
    assert len(cases) > 3000
    found = walk(program, random.Random(17).sample(cases, SAMPLE))
    assert not found, "\n\n".join(found)


@pytest.mark.soak
@pytest.mark.parametrize("kind", CASES)
def test_every_setting_ends_well_or_with_one_message(program, kind):
    found = walk(program, list(CASES[kind](Tree(program))))
    assert not found, "\n\n".join(found)
