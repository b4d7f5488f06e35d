"""Weights of frozen networks: where they lie, how they are read, and what to say when there are none."""

import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

__all__ = ["WEIGHTS_VARIABLE", "downloaded", "filled", "find_weights"]

WEIGHTS_VARIABLE = "ANOMALY_DIFFUSION_WEIGHTS"


def find_weights(name: str, weights: str | None) -> Path | None:
    """Return the file that holds the weights of a network; None where a library must download them.

    Args:
        name: of the network.
        weights: a file, here or below $ANOMALY_DIFFUSION_WEIGHTS; None: the file there whose name begins with `name`.

    Raises:
        FileNotFoundError: `weights` is in neither place.
    """
    folder = os.environ.get(WEIGHTS_VARIABLE)
    if weights is None:
        return min(Path(folder).glob(f"{name}*.safetensors"), default=None) if folder else None
    places = [Path(weights)] + ([Path(folder) / weights] if folder else [])
    for place in places:
        if place.is_file():
            return place
    tried = " nor ".join(str(place.absolute()) for place in places)
    hint = "Check it." if folder else f"Set {WEIGHTS_VARIABLE} to the folder that holds it."
    raise FileNotFoundError(f"`weights` of {name} must be a file, but there is none at {tried}. {hint}")


def downloaded(name: str, create: Callable[[], nn.Module]) -> nn.Module:
    """What `create` makes; whatever a library says when it cannot download becomes one message."""
    try:
        return create()
    except (OSError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:160]
        raise FileNotFoundError(
            f"The weights of {name} are not on this machine and could not be downloaded ({reason}). Put a file "
            f"{name}.safetensors into a folder and set {WEIGHTS_VARIABLE} to it, or go online once."
        ) from None


def filled(network: nn.Module, path: Path | None) -> nn.Module:
    """The network with weights from a file, which may hold more than is needed, but not less."""
    if path is None:
        return network
    try:
        absent = network.load_state_dict(load_file(path), strict=False).missing_keys
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()[:160]
        raise ValueError(f"{path} does not hold weights for this network: {reason}") from None
    if absent:
        raise ValueError(f"{path} holds no weights for {len(absent)} parts of this network, {absent[0]} among them.")
    return network
