"""Files of others run nothing, and what is secret stays out of what is written."""

import re
from pathlib import Path

import pytest
import torch
from program import Program

from anomaly_diffusion.engine import checkpoints

PACKAGE = Path(checkpoints.__file__).parents[1]
SECRET = "f00d" * 10  # of the length that W&B expects


class Hidden:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_program_hidden_in_a_checkpoint_is_refused_and_does_not_run(tmp_path):
    path, trace = tmp_path / "last.ckpt", tmp_path / "trace"
    torch.save({"state_dict": {}, "hidden": Hidden(trace)}, path)
    with pytest.raises(ValueError, match=r"last\.ckpt is refused: .* Nothing was run"):
        checkpoints.read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the hidden program must be one that would have run"


def test_nothing_in_the_package_reads_pickles():
    unsafe = re.compile(
        r"weights_only\s*=\s*False|\bpickle\.loads?\(|allow_pickle\s*=\s*True|yaml\.(unsafe_)?load\(|\beval\("
    )
    found = [path.name for path in PACKAGE.rglob("*.py") if unsafe.search(re.sub(r"\.eval\(\)", "", path.read_text()))]
    assert found == []
    loads = [line for path in PACKAGE.rglob("*.py") for line in path.read_text().splitlines() if "torch.load(" in line]
    assert loads
    assert all("weights_only=True" in line for line in loads)


def test_keys_in_the_environment_are_in_no_file_and_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    program = Program(tmp_path)
    try:
        status, said = program("train", "--config", "tiny.yaml", "--run", "secret", "--wandb.mode=offline")
    finally:
        program.close()
    assert status == 0, said
    assert SECRET not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("wandb" in path.parts for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
