"""A tiny Stable Diffusion, written once."""

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Folder of a pipeline with random weights."""
    for package in ("transformers", "peft"):
        pytest.importorskip(package)
    from anomaly_diffusion.baselines.tiny_stable_diffusion import write

    folder = tmp_path_factory.mktemp("pipeline") / "tiny"
    write(folder)
    return folder
