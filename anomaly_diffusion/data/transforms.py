"""Augmentation of training photographs by albumentations, which is imported only when a transform is asked for."""

import difflib
import inspect
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from anomaly_diffusion.data.reading.photographs import Mask, Pixels

__all__ = ["Augmentation", "BadAugmentation"]

_DRAWS = 8  # of a probe, for each transform
_LEVELS = 8  # of 256, that a photograph of all levels keeps at least
_HINTS = {
    "type": "Frames stay uint8 arrays until they leave the pipeline; the program then scales them to [-1, 1] itself.",
    "size": "Frames of a batch have one size: `data.image_size`, or that of `data.augmentation.crop`.",
    "channels": "`data.channels` sets their number.",
    "valid": "The pixels that belong to the photograph must move with it.",
}


class BadAugmentation(ValueError):
    """A transform that cannot be meant, because of its name, its arguments or what it makes of a frame."""


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a good photograph such that it stays good; by default nothing.

    Attributes:
        horizontal_flip: mirror left and right; not for handed objects such as threads.
        vertical_flip: mirror top and bottom.
        quarter_turns: turn by a multiple of 90 degrees, without resampling; for square frames.
        crop: height and width of a random part of the frame to train on; evaluation sees whole frames.
        transforms: further albumentations classes in order, each {Name: {argument: value}}; those that compose others,
            such as OneOf, take their list in the same form. A frame must come out as it went in: uint8, of one size.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    crop: tuple[int, int] | None = None
    transforms: list[dict[str, dict[str, Any]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._steps())

    def check(self, image_size: tuple[int, int], channels: int = 3) -> None:
        """Make sure that a training frame comes out as a batch takes it, by sending one through.

        It also imports albumentations: where processes that make batches are forked, they must not be the first to do
        so, because the import tells Weights & Biases, which refuses to be spoken to from a fork.

        Args:
            image_size: height and width of the frames, in pixels.
            channels: of the frames.

        Raises:
            ValueError: if the crop is larger than the frame, or turns change its shape.
            BadAugmentation: if a transform does not exist, does not take its arguments, fails, or changes the type of
                the pixels or the size of the frame, or leaves next to nothing of their range.
        """
        height, width = self.crop or image_size
        if min(height, width) < 1:
            raise ValueError(f"`crop` must be positive, got {self.crop}.")
        if height > image_size[0] or width > image_size[1]:
            raise ValueError(f"`crop` must fit into the frame of {image_size}, got {self.crop}.")
        if self.quarter_turns and height != width:
            raise ValueError(f"`quarter_turns` must be off unless frames are square, got {height} x {width}.")
        if self:
            image, valid = _photograph(*image_size, channels), np.ones(image_size, bool)
            always = _Pipeline(self._steps(), self.crop, _LEVELS, always=True)  # rare steps are tried as well
            for pipeline in (always, _Pipeline(self._steps(), self.crop, _LEVELS)):
                for seed in range(_DRAWS * len(pipeline)):
                    pipeline(image, valid, seed)

    def __call__(self, image: Pixels, valid: Mask, seed: int) -> tuple[Pixels, Mask]:
        """Transform a frame together with its valid pixels.

        Args:
            image: the frame.
            valid: pixels that belong to the photograph.
            seed: decides everything random.

        Raises:
            BadAugmentation: if a transform fails, or makes something else of the frame than a batch takes.
        """
        return self._pipeline(image, valid, seed) if self else (image, valid)

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
    def _pipeline(self) -> "_Pipeline":
        return _Pipeline(self._steps(), self.crop)


class _Pipeline:
    """Transforms in a row; what comes out is held against what a batch takes.

    Args:
        steps: name and arguments of each.
        crop: height and width of what comes out, if it is not that of what goes in.
        levels: difference between the brightest and the darkest pixel that must be left.
        always: whether every step is done, however rare it was meant to be.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, Mapping[str, Any]]],
        crop: tuple[int, int] | None,
        levels: int = 0,
        always: bool = False,
    ) -> None:
        self.names, self.crop, self.levels = [name for name, _ in steps], crop, levels
        self.steps = [_step(name, arguments, always) for name, arguments in steps]
        self.whole = _albumentations().Compose(self.steps)

    def __len__(self) -> int:
        """The number of transforms, those within others among them."""
        return sum(1 for _ in _within(self.steps))

    def __call__(self, image: Pixels, valid: Mask, seed: int) -> tuple[Pixels, Mask]:
        """Transform a frame, or tell which step cannot be meant."""
        made = _apply(self.whole, image, valid, seed)
        if isinstance(made, Exception) or self._flaw(made, image):
            raise BadAugmentation(self._blame(image, valid, seed)) from (made if isinstance(made, Exception) else None)
        return made[0], made[1].astype(bool)

    def _blame(self, image: Pixels, valid: Mask, seed: int) -> str:
        """What the first step did after which no frame was right any more."""
        parts = [_albumentations().Compose(self.steps[: count + 1]) for count in range(len(self.steps))]
        flaws = [self._flaw(_apply(part, image, valid, seed), image) for part in parts]
        first = 1 + max((place for place, flaw in enumerate(flaws) if not flaw), default=-1)
        within = (type(inner).__name__ for inner in _within([self.steps[first]]) if self._alone(inner, image, valid))
        inner = next((f"`{name}` within " for name in within if name != self.names[first]), "")
        return f"{inner}`{self.names[first]}` in `data.augmentation` {flaws[first]}"

    def _alone(self, step: Any, image: Pixels, valid: Mask) -> str:
        """What is wrong with what one transform makes of a frame."""
        return self._flaw(_apply(_albumentations().Compose([step]), image, valid, 0), image)

    def _flaw(self, made: "tuple[Any, Any] | Exception", image: Pixels) -> str:
        """What is wrong with a transformed frame; nothing: the empty text."""
        if isinstance(made, Exception):
            told = (str(made).splitlines() or [type(made).__name__])[0].rstrip(".")
            return f"cannot be applied: {told}. A transform is given one frame and its valid pixels, nothing else."
        (height, width), channels = self.crop or image.shape[:2], image.shape[2]
        wrong = _difference(*made, (height, width, channels))
        if wrong:
            told = _told(made[wrong == "valid"])
            return f"must leave {height} x {width} x {channels} uint8 pixels, made {told}. {_HINTS[wrong]}"
        if self.levels and int(made[0].max()) - int(made[0].min()) < self.levels:
            return f"must leave a photograph, made {_told(made[0])} of one with all levels from 0 to 255."
        return ""


def _difference(image: Any, valid: Any, shape: tuple[int, int, int]) -> str:
    """In what a transformed frame differs from what a batch takes: a key of the hints, or the empty text."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        return "type"
    if image.shape[:2] != shape[:2]:
        return "size"
    if image.shape[2:] != shape[2:]:
        return "channels"
    return "" if valid.shape == shape[:2] else "valid"


def _told(pixels: Any) -> str:
    """A frame in words."""
    span = f" from {float(pixels.min()):.4g} to {float(pixels.max()):.4g}" if all(pixels.shape) else ""
    return f"{' x '.join(map(str, pixels.shape))} {pixels.dtype} pixels{span}"


def _apply(pipeline: Any, image: Pixels, valid: Mask, seed: int) -> "tuple[Any, Any] | Exception":
    """What albumentations makes of a frame and its valid pixels, or why it cannot."""
    # one pair of generators for all steps: `set_random_seed` would give each step the same draws
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    try:
        result = pipeline(image=image, mask=valid.view(np.uint8))
    except Exception as error:  # of whatever kind: the transform is someone else's
        return error
    return result["image"], result["mask"]


def _photograph(height: int, width: int, channels: int) -> Pixels:
    """A frame with all levels, coarse and fine structure, and no symmetry."""
    ramp = np.linspace(0, 1, height)[:, None] + np.linspace(0, 1, width) ** 2
    noisy = ramp[..., None] + np.random.default_rng(0).uniform(0, 0.5, (height, width, channels))
    levels: Pixels = (255 * (noisy - noisy.min()) / max(np.ptp(noisy), 1e-9)).astype(np.uint8)
    return levels


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
    import albumentations

    return albumentations


def _step(name: str, arguments: Any, always: bool) -> Any:
    """A transform, or a composition with those within it.

    Raises:
        BadAugmentation: if there is none of that name, or it does not take these arguments.
    """
    cls = _class(name)
    if not isinstance(arguments, Mapping):
        raise BadAugmentation(f"Arguments of `{name}` must be given as {{argument: value}}, got {arguments!r}.")
    known = inspect.signature(cls).parameters
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        raise BadAugmentation(f"`{unknown[0]}` is no argument of `{name}`, which takes {', '.join(known)}.")
    chosen = {**arguments, **({"p": 1.0} if always and "p" in known else {})}
    if "transforms" in chosen:
        chosen["transforms"] = [_step(*inner, always) for inner in _entries(name, chosen["transforms"])]
    try:
        return cls(**chosen)
    except Exception as error:  # of whatever kind: the transform is someone else's
        raise BadAugmentation(f"`{name}` cannot be made of its arguments: {_reason(error)}.") from error


def _class(name: str) -> Any:
    library = _albumentations()
    classes = {key: value for key, value in vars(library).items() if inspect.isclass(value)}
    names = [key for key, cls in classes.items() if issubclass(cls, library.BasicTransform | library.BaseCompose)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise BadAugmentation(f"`transforms` must name transforms of albumentations, got {name}.{hint}")
    return classes[name]


def _entries(name: str, transforms: Any) -> Iterator[tuple[str, Any]]:
    """Name and arguments of each transform within a composition."""
    for entry in transforms if isinstance(transforms, Sequence) else [transforms]:
        if not isinstance(entry, Mapping):
            raise BadAugmentation(f"`transforms` of `{name}` must each be {{Name: {{argument: value}}}}, got {entry}.")
        yield from entry.items()


def _reason(error: Exception) -> str:
    """The library's words, without its counts, types and links: argument: reason; argument: reason."""
    lines = [line.split(" [type=")[0].rstrip() for line in str(error).splitlines() if "://" not in line]
    joined = "".join(f": {line.strip()}" if line.startswith(" ") else f"; {line}" for line in lines[len(lines) > 1 :])
    return joined.replace("Value error, ", "").lstrip("; ").rstrip(".") or type(error).__name__


def _within(steps: Sequence[Any]) -> Iterator[Any]:
    """All transforms of some, those within others among them."""
    for step in steps:
        yield step
        yield from _within(getattr(step, "transforms", ()))
