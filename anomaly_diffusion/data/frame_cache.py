"""Cache of preprocessed images (frames) in memory: each file is read, checked and resized once, uint8."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from anomaly_diffusion.data.framing import Policy, Resize
from anomaly_diffusion.data.painting.painter import Painter
from anomaly_diffusion.data.progress import shown
from anomaly_diffusion.data.reading.colour import channels_seen, with_channels
from anomaly_diffusion.data.reading.notes import Colour, Note, note, noting
from anomaly_diffusion.data.reading.photographs import BadImages, Mask, Pixels
from anomaly_diffusion.data.regions import Regions
from anomaly_diffusion.data.sample import AnomalyDataset, Sample, stable_hash
from anomaly_diffusion.data.tiles import Tiles

__all__ = ["Frame", "FrameStore", "Frames", "Loading", "Photograph", "Reader"]

_THREADS = 4


@dataclass(frozen=True)
class Loading:
    """How files become frames in memory.

    Attributes:
        policy: where a photograph goes in its frame; None: Resize.
        cache_mb: megabytes that frames may take in memory, per data module; what does not fit is read each time.
            0 turns the cache off.
        num_workers: processes that make batches; with the cache, 0 is fastest.
        check: whether files that are not cached are read once before training, so that bad ones are reported together.
    """

    policy: Policy | None = None
    cache_mb: int = 2048
    num_workers: int = 0
    check: bool = True

    def placing(self) -> Policy:
        """Return the policy."""
        return self.policy or Resize()


class Photograph(NamedTuple):
    """A sample and, where a defect is to be painted on it, the number its generator starts from."""

    sample: Sample
    painting: int | None = None


class Frame(NamedTuple):
    """A photograph in its frame, uint8; its kind is that of the sample, or the family of the defect painted on it."""

    image: Pixels
    mask: Mask
    valid: Mask
    size: tuple[int, int]
    regions: Regions
    kind: str


class Frames(NamedTuple):
    """Several frames, stacked, or lists of frames of several sizes; `kind` holds strings."""

    image: UInt8[np.ndarray, "B H W C"] | Sequence[Pixels]
    mask: Bool[np.ndarray, "B H W"] | Sequence[Mask]
    valid: Bool[np.ndarray, "B H W"] | Sequence[Mask]
    size: Int64[np.ndarray, "B 2"]
    kind: np.ndarray


@dataclass(frozen=True)
class Reader:
    """Turns a photograph into its frame.

    A painted defect is painted on the photograph itself, before it is framed: so it shrinks as a real one does, and
    is the same defect at every `image_size`. With tiles, each photograph has a frame of its own size.
    """

    dataset: AnomalyDataset
    policy: Policy
    image_size: tuple[int, int]
    channels: int
    painter: Painter
    tiles: Tiles | None = None

    def __call__(self, photograph: Photograph) -> Frame:
        """Read, paint and frame.

        Raises:
            BadImages: if the photograph or its mask cannot be used.
        """
        pixels, mask = self.dataset.read(photograph.sample)
        kind = photograph.sample.kind
        note(Colour(photograph.sample.path, channels_seen(pixels) == 1))
        if photograph.painting is not None:
            painted = self.painter(pixels, np.random.default_rng(photograph.painting))
            pixels, mask, kind = painted.image, painted.mask, painted.kind
        frame = self.tiles.frame_of(mask.shape) if self.tiles else self.image_size
        placement = self.policy.place(mask.shape, frame)
        image = with_channels(placement.image(pixels), self.channels)
        framed, regions = placement.mask(mask)
        return Frame(image, framed, placement.valid(), mask.shape, regions, kind)


class FrameStore:
    """The frames of some photographs, in memory if they fit.

    Args:
        photographs: what to hold.
        reader: turns one into its frame.
        room: bytes that may be used; where more are needed, frames are read at each use.
        check: whether all are read once even then.
        share: numbers of those that this process will take; None: all.

    Attributes:
        regions: what became of the defective regions of all photographs; None if they were not all read.
        notes: what is worth knowing about the files that could be used.

    Raises:
        BadImages: naming every photograph and mask that cannot be used.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        reader: Reader,
        room: int,
        check: bool = True,
        share: range | None = None,
    ) -> None:
        self.photographs, self.reader = photographs, reader
        self._share = range(len(photographs)) if share is None else share
        self.keys = np.array([reader.dataset.key(item.sample) for item in photographs], np.int64)
        self.labels = np.array([item.sample.label or item.painting is not None for item in photographs])
        self.categories = np.array([item.sample.category for item in photographs], np.int64)
        self.names = [reader.dataset.name(item.sample) for item in photographs]
        pixels = len(photographs) * reader.image_size[0] * reader.image_size[1]
        self.bytes = pixels * (reader.channels + 2)
        self.regions: Regions | None = None
        self.notes: list[Note] = []
        self._kept: dict[int, Frame] = {}
        self._frames = self._read_all() if self.bytes <= room and not reader.tiles else None
        if self._frames is None:
            self.bytes = 0
            if reader.tiles and room:
                self._read_checked(partial(self._keep_what_fits, room))
            elif check:
                self._read_checked(lambda index, frame: None)

    def __len__(self) -> int:
        return len(self.photographs)

    def take(self, indices: Sequence[int]) -> Frames:
        """Return some frames."""
        if self._frames is not None:
            return Frames(*(np.asarray(field)[list(indices)] for field in self._frames))
        frames = [self._kept.get(index) or self.reader(self.photographs[index]) for index in indices]
        image, mask, valid, size = list(zip(*frames, strict=True))[:4]
        if len({one.shape for one in image}) == 1:
            image, mask, valid = (np.array(field) for field in (image, mask, valid))
        return Frames(image, mask, valid, np.array(size), np.array([frame.kind for frame in frames], object))

    def sizes(self) -> list[tuple[int, int]]:
        """Return height and width of all files that are in memory."""
        if self._frames is not None:
            return [(int(height), int(width)) for height, width in self._frames.size]
        return [frame.size for frame in self._kept.values()]

    def _keep_what_fits(self, room: int, index: int, frame: Frame) -> None:
        """Keep a frame of any size, where there is room for it."""
        count = frame.image.nbytes + frame.mask.nbytes + frame.valid.nbytes
        if self.bytes + count <= room:
            self.bytes += count
            self._kept[index] = frame

    def _read_all(self) -> Frames:
        shape = len(self.photographs), *self.reader.image_size
        empty = (np.empty((*shape, self.reader.channels), np.uint8), np.empty(shape, bool), np.empty(shape, bool))
        rest = np.empty((len(self.photographs), 2), np.int64), np.empty(len(self.photographs), object)
        frames = Frames(*empty, *rest)

        def keep(index: int, frame: Frame) -> None:
            for name, target in frames._asdict().items():  # all but its regions
                target[index] = getattr(frame, name)

        self._read_checked(keep)
        return frames

    def _read_checked(self, keep: Callable[[int, Frame], None]) -> None:
        """Read the share in threads; gather what is wrong, and raise it together."""
        problems: dict[str, str] = {}
        regions: list[Regions] = []

        def attempt(index: int) -> None:
            try:
                with noting(self.notes):
                    frame = self.reader(self.photographs[index])
            except BadImages as error:
                problems.update(error.problems)
            else:
                regions.append(frame.regions)
                keep(index, frame)

        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in shown(pool.map(attempt, self._share), len(self._share), "Preparing photographs"):
                pass
        if problems:
            raise BadImages(dict(sorted(problems.items())))
        self.regions = sum(regions, Regions())


def painting_seed(seed: int, name: str, turn: int = 0) -> int:
    """Return the number from which a photograph's first defect is painted, or that of another turn."""
    return stable_hash(seed, "defect", name, *([turn] if turn else []))
