"""A run that is looked at: its inspector, its test photographs as far as they are still there, its false alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from anomaly_diffusion import api
from anomaly_diffusion.data.feedback import FILE, Feedback
from anomaly_diffusion.data.reading.photographs import read_pixels
from anomaly_diffusion.deploy.inspecting.tested_run import AtRate
from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.inspector import Inspector
from anomaly_diffusion.figures.canvas import crossed, outlined, overlay
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.verdicts.conformal import Limit

if TYPE_CHECKING:
    from anomaly_diffusion.data.sample import AnomalyDataset, Sample

__all__ = ["OpenedRun", "Shown", "small"]

_COLOURS_END = 8.0  # standard deviations, as in the pictures of a run
_THUMBNAIL = 192  # pixels of its longer side
Bytes = np.ndarray  # (H, W, 3), uint8


@dataclass(frozen=True)
class Shown:
    """A photograph as it is looked at.

    Attributes:
        name: of its file.
        photograph: as it is.
        map: over the photograph, with boxes around regions and a cross at the peak.
        inspection: what the inspector says.
        file: its content, to be kept as a false alarm.
    """

    name: str
    photograph: Bytes
    map: Bytes
    inspection: Inspection
    file: bytes


class OpenedRun:
    """What a page asks of a run.

    Args:
        run: a finished run.
        category: which one is looked at, where the run knows several apart.

    Raises:
        FileNotFoundError: it has no checkpoint.
        ValueError: its checkpoint holds no scores of normal photographs, or the category must be chosen.
    """

    def __init__(self, run: Run, category: str | None = None) -> None:
        self.run, self.inspector = run, Inspector(run, category=category)
        _ = self.inspector.normal_scores  # refused now rather than in the page
        self.thumbnail = lru_cache(maxsize=4096)(self._thumbnail)

    @property
    def name(self) -> str:
        """Experiment and run."""
        return f"{self.run.group}/{self.run.name}"

    @property
    def feedback(self) -> Feedback:
        """Its false alarms."""
        return Feedback(self.run.source / FILE)

    def at(self, rate: float) -> AtRate:
        """Its test set at a rate of false alarms in (0, 1)."""
        shown = self.inspector.category if self.inspector.categories else None
        results = [one for one in self.run.results if shown in (None, one.category)]
        return AtRate(results, Limit(self.inspector.normal_scores, rate))

    def look(self, path: Path) -> Shown:
        """Judge a photograph that was dropped.

        Raises:
            BadImages: the file cannot be used.
        """
        return self._shown(path.name, path, read_pixels(path), path.read_bytes())

    def look_at_test(self, name: str) -> Shown:
        """Judge a photograph of the test set again, and outline its defect where one is drawn.

        Args:
            name: as its result has it.

        Raises:
            FileNotFoundError: it is gone, or all data are.
        """
        sample = self._sample(name)
        dataset = self._dataset
        pixels = dataset.read_image(sample)
        there = sample.path.is_file()
        content = sample.path.read_bytes() if there else _png(pixels)
        mask = dataset.read_mask(sample, pixels.shape[:2]) if sample.label else None
        return self._shown(name, sample.path if there else _array(pixels), pixels, content, mask)

    def _thumbnail(self, name: str) -> Bytes:
        """A small picture of a test photograph; grey where it is gone."""
        try:
            return small(self._dataset.read_image(self._sample(name)))
        except (OSError, ValueError):
            tile = cv2.imread(str(self.run.tile(name, "image")))
            return small(np.full((96, 96, 1), 128, np.uint8) if tile is None else tile[..., ::-1])

    @cached_property
    def _dataset(self) -> "AnomalyDataset":
        return api.data_module(self.run).dataset

    @cached_property
    def _samples(self) -> "Mapping[str, Sample]":
        return {self._dataset.name(sample): sample for sample in self._dataset.test_samples()}

    def _sample(self, name: str) -> "Sample":
        if name not in self._samples:
            raise FileNotFoundError(f"{name} is not among the test photographs any more.")
        return self._samples[name]

    def _shown(self, name: str, given: Any, pixels: Bytes, content: bytes, mask: np.ndarray | None = None) -> Shown:
        found = self.inspector(given)
        drawn = overlay(pixels / np.float32(255), found.map, _COLOURS_END)
        if mask is not None and mask.any():
            drawn = outlined(drawn, mask)
        drawn = crossed(_boxed(drawn, found), found.peak)
        return Shown(name, _rgb(pixels), (drawn * 255).round().clip(0, 255).astype(np.uint8), found, content)


def small(pixels: Bytes) -> Bytes:
    """A photograph (H, W, 1 or 3) as a thumbnail."""
    scale = min(1.0, _THUMBNAIL / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(_rgb(pixels), size, interpolation=cv2.INTER_AREA))


def _boxed(drawn: np.ndarray, found: Inspection) -> np.ndarray:
    """With a white box, edged in black, around each region; lines as fine as the picture's size allows."""
    drawn = np.ascontiguousarray(drawn, np.float32).copy()
    line = max(1, max(drawn.shape[:2]) // 600)
    for region in found.regions:
        corners = (region.x, region.y), (region.x + region.width - 1, region.y + region.height - 1)
        for colour, thickness in ((0.0, line + 2), (1.0, line)):
            cv2.rectangle(drawn, *corners, (colour,) * 3, thickness)
    return drawn


def _rgb(pixels: Bytes) -> Bytes:
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _array(pixels: Bytes) -> Bytes:
    return pixels if pixels.shape[2] == 3 else pixels[..., 0]


def _png(pixels: Bytes) -> bytes:
    return bytes(cv2.imencode(".png", pixels[..., ::-1])[1])
