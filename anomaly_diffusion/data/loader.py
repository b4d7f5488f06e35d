"""Batches for a Trainer: a loader that can go on in the middle of an epoch."""

import signal
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from anomaly_diffusion.data.batches import EpochSampler
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.data.transforms import BadAugmentation
from anomaly_diffusion.types import ImageBatch

__all__ = ["BatchLoader", "leave_interrupts"]


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
    """Let a worker pay no heed to Ctrl-C, which a terminal sends to all processes: what comes of it, the first decides.

    Args:
        worker: its number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
