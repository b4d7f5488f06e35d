"""Augmentation of training photographs: albumentations, imported only when a transform is asked for, then a part."""

import difflib
import inspect
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np

from anomaly_diffusion.data.reading.photographs import Mask, Pixels
from anomaly_diffusion.types import size_at

__all__ = ["Augmentation", "BadAugmentation", "Part"]

Place = tuple[float, float, float, float]

_SMALLEST = 4  # pixels of a side at the smallest scale
_DRAWS = 8  # of a probe, for each transform
_LEVELS = 8  # of 256, that a photograph of all levels keeps at least
_HINTS = {
    "type": "Frames stay uint8 arrays until they leave the pipeline; the program then scales them to [-1, 1] itself.",
    "size": "Frames of a batch have one size, `data.image_size`; `crop` and `scales` change it afterwards.",
    "channels": "`data.channels` sets their number.",
    "valid": "The pixels that belong to the photograph must move with it.",
}


class BadAugmentation(ValueError):
    """A transform that cannot be meant, because of its name, its arguments or what it makes of a frame."""


class Part(NamedTuple):
    """A frame or a part of it, transformed.

    Attributes:
        image: its pixels.
        valid: those that belong to the photograph.
        place: top, left, bottom and right of it, where the frame reaches from -1 to 1.
    """

    image: Pixels
    valid: Mask
    place: Place


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a good photograph such that it stays good; by default nothing.

    Attributes:
        horizontal_flip: mirror left and right; not for handed objects such as threads.
        vertical_flip: mirror top and bottom.
        quarter_turns: turn by a multiple of 90 degrees, without resampling; for square frames.
        crop: height and width of a random part of the frame to train on, after all else, where the frame is larger;
            evaluation sees whole frames.
        scales: factors, in (0, 1], by which frames are made smaller before they are cropped; each batch draws one, with
            odds in proportion to its root. Patch Diffusion (Wang et al., 2023) cuts patches of several sizes with such
            odds; here the photograph shrinks, not the patch.
        transforms: further albumentations classes in order, each {Name: {argument: value}}; those that compose others,
            such as OneOf, take their list in the same form. A frame must come out as it went in: uint8, of one size.
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False
    crop: tuple[int, int] | None = None
    scales: list[float] = field(default_factory=lambda: [1.0])
    transforms: list[dict[str, dict[str, Any]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._steps()) or self.takes_parts

    @property
    def takes_parts(self) -> bool:
        """Whether training sees something else than whole frames at their own scale."""
        return self.crop is not None or set(self.scales) != {1.0}

    @property
    def of_whole_frames(self) -> "Augmentation":
        """The same without crop and scales."""
        return replace(self, crop=None, scales=[1.0])

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
        crop = self.crop or image_size
        if min(crop) < 1:
            raise ValueError(f"`crop` must be positive, got {self.crop}.")
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"`scales` must name at least one, each in (0, 1], got {list(self.scales)}.")
        if min(size_at(min(self.scales), image_size)) < _SMALLEST:
            raise ValueError(f"`scales` must leave {_SMALLEST} pixels of {image_size}, got {min(self.scales)}.")
        if self.quarter_turns and image_size[0] != image_size[1]:
            height, width = image_size
            raise ValueError(f"`quarter_turns` must be off unless frames are square, got {height} x {width}.")
        if self._steps():
            image, valid = _photograph(*image_size, channels), np.ones(image_size, bool)
            always = _Pipeline(self._steps(), _LEVELS, always=True)  # rare steps are tried as well
            for pipeline in (always, _Pipeline(self._steps(), _LEVELS)):
                for seed in range(_DRAWS * len(pipeline)):
                    pipeline(image, valid, seed)

    def scale(self, seed: int) -> float:
        """Which of the scales a batch has."""
        odds = np.sqrt(self.scales)
        return float(np.random.default_rng([seed, 0]).choice(self.scales, p=odds / odds.sum()))

    def __call__(self, image: Pixels, valid: Mask, seed: int, scale: float = 1.0) -> Part:
        """Transform a frame together with its valid pixels, and take the part that training sees.

        Args:
            image: the frame.
            valid: pixels that belong to the photograph.
            seed: decides everything random.
            scale: by which the frame is made smaller.

        Raises:
            BadAugmentation: if a transform fails, or makes something else of the frame than a batch takes.
        """
        if self._steps():
            image, valid = self._pipeline(image, valid, seed)
        if scale != 1:
            image, valid = _smaller(image, valid, scale)
        return self._part(image, valid, seed)

    def _part(self, image: Pixels, valid: Mask, seed: int) -> Part:
        """A random part of the size of the crop, or as much of it as there is."""
        if self.crop is None:
            return Part(image, valid, (-1.0, -1.0, 1.0, 1.0))
        size = valid.shape
        height, width = (min(pair) for pair in zip(self.crop, size, strict=True))
        draw = np.random.default_rng([seed, 1])
        top, left = int(draw.integers(size[0] - height + 1)), int(draw.integers(size[1] - width + 1))
        rows, columns = slice(top, top + height), slice(left, left + width)
        ends = (top, 0), (left, 1), (top + height, 0), (left + width, 1)
        first, second, third, fourth = (2 * end / size[axis] - 1 for end, axis in ends)
        return Part(image[rows, columns], valid[rows, columns], (first, second, third, fourth))

    def _steps(self) -> list[tuple[str, Mapping[str, Any]]]:
        flags = {
            "HorizontalFlip": 0.5 * self.horizontal_flip,
            "VerticalFlip": 0.5 * self.vertical_flip,
            "RandomRotate90": 1.0 * self.quarter_turns,  # draws from four turns, none among them
        }
        free = [step for entry in self.transforms for step in entry.items()]
        return [*((name, {"p": odds}) for name, odds in flags.items() if odds), *free]

    @cached_property
    def _pipeline(self) -> "_Pipeline":
        return _Pipeline(self._steps())


class _Pipeline:
    """Transforms in a row; what comes out is held against what a batch takes.

    Args:
        steps: name and arguments of each.
        levels: difference between the brightest and the darkest pixel that must be left.
        always: whether every step is done, however rare it was meant to be.
    """

    def __init__(self, steps: Sequence[tuple[str, Mapping[str, Any]]], levels: int = 0, always: bool = False) -> None:
        self.names, self.levels = [name for name, _ in steps], levels
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
        height, width, channels = image.shape
        wrong = _difference(*made, (height, width, channels))
        if wrong:
            told = _told(made[wrong == "valid"])
            return f"must leave {height} x {width} x {channels} uint8 pixels, made {told}. {_HINTS[wrong]}"
        if self.levels and int(made[0].max()) - int(made[0].min()) < self.levels:
            return f"must leave a photograph, made {_told(made[0])} of one with all levels from 0 to 255."
        return ""


def _smaller(image: Pixels, valid: Mask, scale: float) -> tuple[Pixels, Mask]:
    """A frame made smaller, each pixel the mean of those it stands for."""
    height, width = size_at(scale, valid.shape)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    share = cv2.resize(valid.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return small, share > 0.5


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
