"""Base class of engines: whatever carries out the graph of an exported file."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

__all__ = ["KEY", "Answer", "Engine"]

KEY = "anomaly_diffusion"
"""Under which a file's metadata hold its description, in JSON."""


class Answer(NamedTuple):
    """What the graph says of framed photographs.

    Attributes:
        maps: in standard deviations of normal photographs.
        scores: larger is worse.
        statistics: brightness, contrast and sharpness.
    """

    maps: Float[np.ndarray, "B H W"]
    scores: Float[np.ndarray, " B"]
    statistics: Float[np.ndarray, "B 3"]


class Engine(ABC):
    """Carries out the graph of one file.

    Attributes:
        description: what the file's metadata say, in JSON; empty where they say nothing.
    """

    description: str

    @abstractmethod
    def __call__(self, image: UInt8[np.ndarray, "B H W C"], valid: Bool[np.ndarray, "B H W"]) -> Answer:
        """Judge framed photographs, of which `valid` pixels count."""
