"""Batches for a Trainer: collation, the epoch sampler, and a DataLoader that resumes within an epoch."""

import signal
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, get_worker_info

from anomaly_diffusion.data.frame_cache import Frames, FrameStore
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.data.sample import stable_hash
from anomaly_diffusion.data.transforms import Augmentation, BadAugmentation
from anomaly_diffusion.types import ImageBatch, Tiling

__all__ = ["BatchLoader", "BatchSource", "EpochSampler", "as_they_are", "in_range", "leave_interrupts"]


class BatchSource(Dataset[ImageBatch]):
    """Gives whole batches to a DataLoader whose `collate_fn` is `as_they_are`.

    Args:
        store: the frames.
        augmentation: for training; None for evaluation.
        seed: with epoch and photograph, decides what augmentation draws: neither workers nor batches matter.
        tiling: how whole photographs are to be walked over; None: they are seen whole.
        categories: names of the categories; empty where nobody names them.
    """

    def __init__(
        self,
        store: FrameStore,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        tiling: Tiling | None = None,
        categories: tuple[str, ...] = (),
    ) -> None:
        self.store, self.augmentation, self.seed, self.categories = store, augmentation, seed, categories
        self.tiling = None if augmentation and augmentation.takes_parts else tiling

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, place: int | tuple[int, int]) -> ImageBatch:
        return self.__getitems__([place])

    def __getitems__(self, places: Sequence[int | tuple[int, int]]) -> ImageBatch:
        """Return the batch of some photographs; in a worker, what is wrong with them, which `BatchLoader` raises.

        Args:
            places: their numbers, for training each with its epoch before it.
        """
        try:
            return self._batch(places)
        except (BadImages, BadAugmentation) as error:
            if get_worker_info() is None:
                raise
            return error  # type: ignore[return-value]

    def _batch(self, places: Sequence[int | tuple[int, int]]) -> ImageBatch:
        pairs = [place if isinstance(place, tuple) else (0, place) for place in places]
        indices = [index for _, index in pairs]
        frames, place = self.store.take(indices), None
        if self.augmentation:
            seeds = [stable_hash(self.seed, epoch, self.store.keys[index]) for epoch, index in pairs]
            frames, place = self._augmented(frames, self.augmentation, seeds)
        return ImageBatch(
            to_float(np.asarray(frames.image)),
            torch.from_numpy(np.asarray(frames.mask))[:, None],
            torch.from_numpy(np.asarray(frames.valid))[:, None],
            torch.from_numpy(self.store.labels[indices]),
            torch.from_numpy(self.store.categories[indices]),
            torch.from_numpy(self.store.keys[indices]),
            torch.from_numpy(frames.size),
            [self.store.names[index] for index in indices],
            frames.kind.tolist(),
            place,
            self.tiling,
            self.categories,
        )

    def _augmented(self, frames: Frames, augment: Augmentation, seeds: list[int]) -> tuple[Frames, Tensor | None]:
        """Transformed frames of good photographs, which have no mask, all of one scale, and the place of each part."""
        scale = augment.scale(seeds[0])
        parts = [augment(*frame, scale) for frame in zip(frames.image, frames.valid, seeds, strict=True)]
        image, valid = np.stack([part.image for part in parts]), np.stack([part.valid for part in parts])
        place = torch.tensor([part.place for part in parts]) if augment.takes_parts else None
        return Frames(image, np.zeros_like(valid), valid, frames.size, frames.kind), place


class EpochSampler(DistributedSampler):
    """Shuffles by (seed, epoch), shares out among processes, and tells each photograph its epoch.

    Attributes:
        skipped: how many photographs the next pass leaves out at its start, because they were seen before.
    """

    skipped = 0

    def take_all(self, epoch: int) -> None:
        """Give every photograph of an epoch, whatever the number of processes."""
        self.set_epoch(epoch)
        self.num_replicas, self.rank = 1, 0
        self.num_samples = self.total_size = len(self.dataset)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start, self.skipped = self.skipped, 0
        return ((self.epoch, index) for index in islice(super().__iter__(), start, None))


class BatchLoader(DataLoader[ImageBatch]):
    """Gives the batches of an epoch, from the first one, or from where a checkpoint left off.

    Lightning keeps `state_dict` in every checkpoint and hands it to `load_state_dict` before training goes on.
    """

    _given = 0
    _start = 0

    def __iter__(self) -> Iterator[ImageBatch]:  # type: ignore[override]
        """Go through the rest of the epoch.

        Raises:
            BadImages: a photograph cannot be used.
            BadAugmentation: a transform cannot be applied to one.
        """
        self._given, self._start = self._start, 0
        if isinstance(self.sampler, EpochSampler):
            self.sampler.skipped = self._given * (self.batch_size or 1)
        for batch in super().__iter__():
            # a worker cannot raise it: what arrives would be another error
            if isinstance(batch, BadImages | BadAugmentation):
                raise batch
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches have been given."""
        return {"epoch": getattr(self.sampler, "epoch", 0), "batches": self._given}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin after the batches that were given; an epoch that had ended is not begun again."""
        self._start = state_dict["batches"] % len(self)


def leave_interrupts(worker: int) -> None:
    """Ignore SIGINT in a DataLoader worker: a terminal sends Ctrl-C to all processes, and the main one handles it.

    Args:
        worker: its number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_float(image: np.ndarray) -> Tensor:
    """Turn uint8 (B, H, W, C) into [-1, 1] (B, C, H, W)."""
    return in_range(torch.from_numpy(image).permute(0, 3, 1, 2))


def in_range(planes: Tensor) -> Tensor:
    """Turn uint8 (B, C, H, W) into [-1, 1]."""
    return planes.to(torch.float32, memory_format=torch.contiguous_format).mul_(2 / 255).sub_(1)


def as_they_are(batch: Any) -> Any:
    """Collate nothing: the source has made the batch."""
    return batch
