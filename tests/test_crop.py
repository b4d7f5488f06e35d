"""A detector that trains on crops is judged on whole frames, and so is whatever it is compared with."""

import json

import pytest
import yaml
from program import TINY, Program
from tiny_models import LEARNERS

MODELS = {"pixel": TINY["model"], **LEARNERS}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return Program(tmp_path_factory.mktemp("crops"))


@pytest.mark.parametrize("name", ["pixel", *(pytest.param(name, marks=pytest.mark.soak) for name in LEARNERS)])
def test_training_on_crops_ends_with_figures_of_whole_frames(program, name):
    data = {**TINY["data"], "channels": 1 if name == "pixel" else 3, "image_size": [32, 32]}
    (program.folder / f"{name}.yaml").write_text(yaml.safe_dump({**TINY, "model": MODELS[name], "data": data}))
    words = ["--config", f"{name}.yaml", "--experiment", "tiny"]
    words += [f"--data.augmentation.{flip}_flip=false" for flip in ("horizontal", "vertical")]
    found = {}
    for crop in ("null", "[24,24]"):
        run = f"{name}-{crop}"
        status, said = program("train", *words, f"--data.augmentation.crop={crop}", "--run", run)
        assert status == 0, said
        summary = json.loads((program.run(run) / "summary.json").read_text())
        found[crop] = summary["controls"]
    assert "mean_image" in found["null"]
    assert found["null"] == found["[24,24]"]  # controls learn from the same frames, whatever is trained on
