"""A batch judged in parts: neither its size nor its order shows in a verdict, and it need not fit into memory whole."""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from anomaly_diffusion.types import ImageBatch

__all__ = ["InParts", "is_out_of_memory"]

_ON_CPU, _ELSEWHERE = 4, 64
_MEMORY_IS_FULL = re.compile(
    r"can't allocate memory|not enough memory|out of memory|std::bad_alloc"
    r"|could not create a memory|could not (create|execute) a primitive$",  # oneDNN, which keeps the reason to itself
    re.MULTILINE,
)


class InParts:
    """Hands a batch on in parts, and puts together what comes back.

    On a CPU a convolution of eight images rounds otherwise than the same of two. There, all parts have one size, the
    last one filled up with its last image, so that the same image gives the same bits in every batch, order and share
    of the images. Elsewhere parts are large, and nothing is filled up.

    A part that does not fit into memory is halved, with a warning, and so are all that follow.

    Args:
        on_cpu: images in a part, >= 1; 4 are about as fast as more.
    """

    def __init__(self, on_cpu: int = _ON_CPU) -> None:
        self.on_cpu, self.elsewhere = on_cpu, _ELSEWHERE

    def __call__(self, act: Callable[[ImageBatch], tuple[Any, ...]], batch: ImageBatch) -> tuple[Any, ...]:
        """Return what `act` makes of a batch: tensors with a row for each image; of anything else, that of the first.

        Raises:
            MemoryError: not even a single image fits.
        """
        while True:
            on_cpu = batch.image.device.type == "cpu"
            size = self.on_cpu if on_cpu else self.elsewhere
            try:
                results = [act(batch.rows(rows)) for rows in _rows(len(batch.path), size, fill=on_cpu)]
                return tuple(_joined(values, len(batch.path)) for values in zip(*results, strict=True))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                height, width = batch.image.shape[-2:]
            self._halve(size, on_cpu, f"{height} x {width} pixels")

    def _halve(self, size: int, on_cpu: bool, of: str) -> None:
        """Outside the handler: while it lasts, the error keeps alive what filled the memory."""
        if size == 1:
            raise MemoryError(f"Not even one image of {of} can be judged in this memory. Lower `data.image_size`.")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(f"{size} images of {of} do not fit into memory: judging {size // 2} at a time.", stacklevel=3)
        if on_cpu:
            self.on_cpu = size // 2
        else:
            self.elsewhere = size // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, on whatever device."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and _MEMORY_IS_FULL.search(str(error)) is not None)


def _rows(count: int, size: int, fill: bool) -> list[Tensor]:
    """Numbers of the images in each part."""
    numbers = torch.arange(-(-count // size) * size if fill else count).clamp(max=count - 1)
    return list(torch.split(numbers, size))


def _joined(values: Sequence[Any], count: int) -> Any:
    return torch.cat(list(values))[:count] if isinstance(values[0], Tensor) else values[0]
