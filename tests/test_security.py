"""Files of others run nothing. That no key is written is tested with a run of W&B, in test_wandb_run.py."""

import re
from pathlib import Path

import pytest
import torch

from anomaly_diffusion.engine import checkpoints

PACKAGE = Path(checkpoints.__file__).parents[1]


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
