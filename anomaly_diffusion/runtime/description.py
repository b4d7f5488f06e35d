"""What an exported file says of itself: framing, normal photographs, names, sizes and licences."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from anomaly_diffusion.data.framing import CenterCrop, Letterbox, Policy, Resize
from anomaly_diffusion.data.tiles import Tiles
from anomaly_diffusion.verdicts.judge import NormalReference

__all__ = ["VERSION", "Description"]

VERSION = 2
_READ = (1, VERSION)  # the first knew no tiles
POLICIES: dict[str, type[Policy]] = {policy.__name__: policy for policy in (Resize, Letterbox, CenterCrop)}


@dataclass(frozen=True)
class Description:
    """All that a verdict needs beside the graph.

    Attributes:
        run: name of the run.
        method: of the detector.
        frame: height and width of frames; of tiles, where there are some.
        channels: 1 or 3, of frames.
        policy: how photographs become frames: "Resize", "Letterbox" or "CenterCrop"; with tiles they say it.
        white_level: value of 16 bits that is white.
        scores: of held-out normal photographs, ascending; as the next two.
        peaks: the largest values of their maps.
        masses: of their heaviest regions.
        cut: above which a map has regions.
        statistics: of normal photographs, by the names of `drift.STATISTICS`.
        licences: what holds for weights of others in the file.
        made_by: the program that wrote it.
        false_alarms: rate that the run asks for; None: as many held-out photographs allow.
        tiles: how photographs are seen at their own resolution; None: in frames of one size.
        whole: height and width that the frame of a photograph must have, where statistics are by position; None: any.
        version: of these attributes.
    """

    run: str
    method: str
    frame: tuple[int, int]
    channels: int
    policy: str
    white_level: int
    scores: list[float]
    peaks: list[float]
    masses: list[float]
    cut: float
    statistics: Mapping[str, list[float]]
    licences: list[str]
    made_by: str
    false_alarms: float | None = None
    tiles: Tiles | None = None
    whole: tuple[int, int] | None = None
    version: int = VERSION

    @classmethod
    def read(cls, text: str, name: str) -> "Description":
        """The description in the metadata of a file `name`.

        Raises:
            ValueError: there is none, or one of another version.
        """
        told: dict[str, Any] = json.loads(text) if text else {}
        if told.get("version") not in _READ:
            raise ValueError(
                f"{name} holds no description of version {VERSION}: it was not written by this program, or by another "
                "version of it. Export the run again."
            )
        tiles, whole = told.get("tiles"), told.get("whole")
        if tiles:
            sizes = {name: tuple(tiles[name]) for name in ("size", "frame") if tiles[name]}
            told["tiles"] = Tiles(**{**tiles, **sizes})
        return cls(**{**told, "frame": tuple(told["frame"]), "whole": tuple(whole) if whole else None})

    def written(self) -> str:
        """The same as JSON; numbers keep all their digits."""
        return json.dumps(asdict(self), allow_nan=False)

    @property
    def framing(self) -> Policy:
        """What makes frames of photographs."""
        return self.tiles.placing() if self.tiles else POLICIES[self.policy]()

    def frame_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the frame of a photograph of such a size.

        Raises:
            ValueError: the file cannot judge it.
        """
        if self.tiles is None:
            return self.frame
        frame = self.tiles.frame_of(size)
        if self.whole not in (None, frame):
            known, given = ("{} x {}".format(*one) for one in (self.whole, frame))
            raise ValueError(
                f"The file knows positions of {known} pixels, got a photograph of {given}. Take photographs of one "
                "size, or export a run with one `data.tiles.frame`."
            )
        return frame

    @property
    def reference(self) -> NormalReference:
        """What a judge compares with."""
        statistics = {name: np.array(values) for name, values in self.statistics.items()}
        return NormalReference(np.array(self.scores), np.array(self.peaks), np.array(self.masses), self.cut, statistics)
