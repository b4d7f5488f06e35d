"""Augmentation of training photographs by albumentations, which is imported only when a transform is asked for."""

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from anomaly_diffusion.data.reading import Mask, Pixels

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a good photograph such that it stays good; by default nothing.

    Attributes:
        horizontal_flip: mirror left and right; not for handed objects such as threads.
        vertical_flip: mirror top and bottom.
        quarter_turns: turn by a multiple of 90 degrees, without resampling; for square frames.
        crop: height and width of a random part of the frame to train on; evaluation sees whole frames.
        transforms: further albumentations classes in order, each {Name: {argument: value}}.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    crop: tuple[int, int] | None = None
    transforms: list[dict[str, dict[str, Any]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._steps())

    def check(self, image_size: tuple[int, int]) -> None:
        """Make sure that training frames have one shape.

        Raises:
            ValueError: if the crop is larger than the frame, or turns change its shape.
        """
        height, width = self.crop or image_size
        if height > image_size[0] or width > image_size[1]:
            raise ValueError(f"`crop` must fit into the frame of {image_size}, got {self.crop}.")
        if self.quarter_turns and height != width:
            raise ValueError(f"`quarter_turns` must be off unless frames are square, got {height} x {width}.")

    def __call__(self, image: Pixels, valid: Mask, seed: int) -> tuple[Pixels, Mask]:
        """Transform a frame together with its valid pixels.

        Args:
            image: the frame.
            valid: pixels that belong to the photograph.
            seed: decides everything random.
        """
        if not self:
            return image, valid
        # one pair of generators for all steps: `set_random_seed` would give each step the same draws
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        result = self._pipeline(image=image, mask=valid.view(np.uint8))
        return result["image"], result["mask"].astype(bool)

    def _steps(self) -> list[tuple[str, Mapping[str, Any]]]:
        flags = {
            "HorizontalFlip": 0.5 * self.horizontal_flip,
            "VerticalFlip": 0.5 * self.vertical_flip,
            "RandomRotate90": 1.0 * self.quarter_turns,  # draws from four turns, none among them
        }
        crop = [("RandomCrop", {"height": self.crop[0], "width": self.crop[1]})] if self.crop else []
        free = [step for entry in self.transforms for step in entry.items()]
        return [*crop, *((name, {"p": odds}) for name, odds in flags.items() if odds), *free]

    @cached_property
    def _pipeline(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
        import albumentations

        unknown = [name for name, _ in self._steps() if not hasattr(albumentations, name)]
        if unknown:
            raise ValueError(f"`transforms` must name classes of albumentations, got {unknown[0]}.")
        steps = [getattr(albumentations, name)(**arguments) for name, arguments in self._steps()]
        return albumentations.Compose(steps)
