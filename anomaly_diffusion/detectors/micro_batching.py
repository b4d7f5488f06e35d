"""Micro-batches: neither size nor order of a batch shows in a prediction, and it need not fit into memory whole."""

import re
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from anomaly_diffusion.types import ImageBatch, PerImage

__all__ = ["MicroBatcher", "is_out_of_memory"]

Result = TypeVar("Result", bound=Tensor | PerImage)
_ON_CPU, _ELSEWHERE = 4, 64
_MEMORY_IS_FULL = re.compile(
    r"can't allocate memory|not enough memory|out of memory|std::bad_alloc|Insufficient memory|Unable to allocate"
    r"|Storage size calculation overflowed"
    r"|could not create a memory|could not (create|execute) a primitive$",  # oneDNN, which keeps the reason to itself
    re.MULTILINE,
)


class MicroBatcher:
    """Hands a batch on in micro-batches, and puts together what comes back: the only place where one is split.

    On a CPU a convolution of eight images rounds otherwise than the same of two, and in two threads otherwise than in
    one. There, all parts have one size, the last one filled up with its last image, and each is judged in one thread,
    as many side by side as there are threads: the same image gives the same bits in every batch, order and share of the
    images, and for every number of threads and processes, on machines of the same kind. Elsewhere parts are large, and
    nothing is filled up.

    A part that does not fit into memory is halved, with a warning, and so are all that follow.

    Args:
        on_cpu: images in a part, >= 1; 4 are about as fast as more.
        elsewhere: the same on an accelerator; more of them only take more memory.

    Attributes:
        threads: parts that a CPU judges side by side; None: as many as torch has threads.
        precision: of `torch.autocast` for whatever is done; None: as it is around the call.
    """

    def __init__(self, on_cpu: int = _ON_CPU, elsewhere: int = _ELSEWHERE) -> None:
        self.on_cpu, self.elsewhere = on_cpu, elsewhere
        self.threads: int | None = None
        self.precision: torch.dtype | None = None

    def __call__(self, act: Callable[[ImageBatch], Result], batch: ImageBatch) -> Result:
        """Return what `act` makes of a batch: a tensor, or a record of tensors, with a row for each image.

        What `act` does to one part must leave alone what it needs for another.

        Photographs larger than their tiles are acted on one by one, in one thread; the tiles have all threads.

        Raises:
            MemoryError: not even a single image fits.
        """
        if self.precision is None:
            return self._carried_out(act, batch)
        with torch.autocast(batch.image.device.type, self.precision):
            return self._carried_out(act, batch)

    def _carried_out(self, act: Callable[[ImageBatch], Result], batch: ImageBatch) -> Result:
        if batch.tiles is not None:
            if any(side > tile for side, tile in zip(batch.image.shape[-2:], batch.tiles[:2], strict=True)):
                return self._one_by_one(act, batch)
            batch = batch._replace(tiles=None)
        while True:
            on_cpu = batch.image.device.type == "cpu"
            size = self.on_cpu if on_cpu else self.elsewhere
            try:
                parts = [batch.rows(rows) for rows in _rows(len(batch.path), size, fill=on_cpu)]
                results = self._side_by_side(act, parts) if on_cpu else [act(part) for part in parts]
                return cast(Result, _joined(results, len(batch.path)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                height, width = batch.image.shape[-2:]
            self._halve(size, on_cpu, f"{height} x {width} pixels")

    def at_once(self, device: torch.device) -> int:
        """How many images keep all threads busy."""
        return self.on_cpu * (self.threads or torch.get_num_threads()) if device.type == "cpu" else self.elsewhere

    def _one_by_one(self, act: Callable[[ImageBatch], Result], batch: ImageBatch) -> Result:
        """What becomes of each photograph, whose tiles will be handed on in their turn."""
        before, threads = torch.get_num_threads(), self.threads
        self.threads = threads or before
        torch.set_num_threads(1)
        try:
            if len(batch.path) == 1:  # large, hence not copied
                return act(batch)
            numbers = torch.arange(len(batch.path)).split(1)
            return cast(Result, _joined([act(batch.rows(number)) for number in numbers], len(batch.path)))
        finally:
            self.threads = threads
            torch.set_num_threads(before)

    def _side_by_side(self, act: Callable[[ImageBatch], Result], parts: list[ImageBatch]) -> list[Result]:
        """What becomes of each part, in a thread of its own for all its operations."""
        before = torch.get_num_threads()
        workers = min(self.threads or before, len(parts))
        torch.set_num_threads(1)
        try:
            if workers == 1:
                return [act(part) for part in parts]
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return list(pool.map(_in_the_modes_of_now(act), parts))
        finally:
            torch.set_num_threads(before)

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


def _in_the_modes_of_now(act: Callable[[ImageBatch], Result]) -> Callable[[ImageBatch], Result]:
    """The same in another thread: torch keeps gradients, inference mode and autocast for each thread by itself."""
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    lower, precision = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def acted(part: ImageBatch) -> Result:
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(gradients),
            torch.autocast("cpu", precision, enabled=lower),
        ):
            return act(part)

    return acted


def _rows(count: int, size: int, fill: bool) -> list[Tensor]:
    """Numbers of the images in each part."""
    numbers = torch.arange(-(-count // size) * size if fill else count).clamp(max=count - 1)
    return list(torch.split(numbers, size))


def _joined(parts: Sequence[Any], count: int) -> Any:
    """All rows but those that the last part was filled up with."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))[:count]
    return type(parts[0]).cat(parts).rows(torch.arange(count))
