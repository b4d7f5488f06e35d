"""Tiny parts of runs that are exported, and what an exported file must say: the same as the run."""

from contextlib import contextmanager

import numpy as np
from commands import unchanged_process
from jaxtyping import config

from anomaly_diffusion.cli.main import main

AUTOENCODER = {"class_path": "ConvAutoencoder", "init_args": {"channels": 4, "widths": [16], "patch": 4}}
FEATURES = {"class_path": "AutoencoderFeatures", "init_args": {"autoencoder": AUTOENCODER, "stride": 4}}
ONE_EPOCH = {"trainer.max_steps": 1, "trainer.val_check_interval": 1}


def export(run, *words):
    """The exit status of `export`."""
    with unchanged_process(), _unchecked():
        return main(["export", "--run_folder", str(run), *words])


@contextmanager
def _unchecked():
    """Check no types: where photographs may have any size, sides of what is traced are symbols and no integers."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)


def check_alike(found, expected):
    """Within 1e-3 standard deviations and a score of 1e-4; what follows is the same."""
    np.testing.assert_allclose(found.map, expected.map, atol=1e-3, rtol=0)
    assert abs(found.score - expected.score) <= 1e-4
    ours, theirs = found.verdict, expected.verdict
    assert (found.name, found.size, ours.defective, ours.drift, ours.peak) == (
        expected.name,
        expected.size,
        theirs.defective,
        theirs.drift,
        theirs.peak,
    )
    assert [region[:4] for region in ours.regions] == [region[:4] for region in theirs.regions]
    assert ours.limit == theirs.limit
