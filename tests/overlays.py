"""Strategies as the files of experiments set them."""

import yaml
from jsonargparse import ArgumentParser

from anomaly_diffusion.cli.parsing.arguments import experiments_folder
from anomaly_diffusion.reconstruction.strategy import Reconstruction


def strategy_of(name: str) -> Reconstruction:
    """The strategy of experiments/ablation/NAME.yaml; its class must have been imported."""
    settings = yaml.safe_load((experiments_folder() / f"ablation/{name}.yaml").read_text())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reconstruction", type=Reconstruction)
    parsed = parser.parse_object({"reconstruction": settings["model"]["init_args"]["reconstruction"]})
    strategy: Reconstruction = parser.instantiate(parsed).reconstruction
    return strategy
