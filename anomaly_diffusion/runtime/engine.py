"""Base class of engines: whatever carries out the graph of an exported file."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

__all__ = ["JUDGED", "JUDGING", "KEY", "Answer", "Engine", "wanted"]

KEY = "anomaly_diffusion"
"""Under which a file's metadata hold its description, in JSON."""

JUDGED = ("map", "score", "statistics")
"""What a graph says of framed photographs; whatever else it puts out is of tiles."""

JUDGING = "judging"
"""Input of a graph with tiles: whether a photograph is judged, or tiles are looked at."""


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

    With tiles a graph has two parts, of which no more than one is carried out at a time: what networks make of tiles,
    and the judgement of a photograph, given what they have made of its tiles, put together.

    Attributes:
        description: what the file's metadata say, in JSON; empty where they say nothing.
    """

    description: str

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """What the part of the graph says that has these inputs, in the graph's order.

        Args:
            inputs: all of that part, by their names.
        """

    def __call__(
        self,
        image: UInt8[np.ndarray, "B H W C"],
        valid: Bool[np.ndarray, "B H W"],
        whole: Sequence[Float[np.ndarray, "B ..."]] = (),
    ) -> Answer:
        """Judge framed photographs.

        Args:
            image: the photographs; with tiles one.
            valid: pixels that belong to them.
            whole: what `of_tiles` gives of all tiles, put together; nothing of a file without tiles.
        """
        parts = {f"whole_{number}": part for number, part in enumerate(whole)}
        return Answer(*self.run({"image": image, "valid": valid, **parts}))

    def of_tiles(
        self, tiles: UInt8[np.ndarray, "N h w C"], place: Float[np.ndarray, "N 4"]
    ) -> list[Float[np.ndarray, "N ..."]]:
        """What networks make of tiles; the last two axes are a grid over the tile.

        Args:
            tiles: of one photograph.
            place: top, left, bottom and right of each in the photograph, which reaches from -1 to 1.
        """
        return self.run({"tiles": tiles, "place": place})


def wanted(outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the outputs of the part of a graph that has these inputs."""
    return [name for name in outputs if (name in JUDGED) == ("image" in inputs)]
