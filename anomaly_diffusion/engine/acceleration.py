"""What makes the same mathematics faster, asked for by flags, and what a short probe chooses on a CPU."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import pytorch_lightning as pl
import torch
from torch import nn

from anomaly_diffusion.detectors.detector import Detector

__all__ = [
    "LOWER",
    "Acceleration",
    "Choice",
    "as_calibrated",
    "bfloat16_instructions",
    "choose",
    "other_precision",
    "probed",
]

LOWER = "bf16-mixed"
"""`trainer.precision` that a probe may choose."""

_ARITHMETIC = "arithmetic"  # key of checkpoints
_AUTOCAST = {LOWER: torch.bfloat16, "16-mixed": torch.float16}
_WORTH = 0.8  # share of the time of float32 from which on bfloat16 is taken
_PRODUCTS = 2**24  # of pixels and channels squared: what takes a few hundredths of a second
_TOGETHER = 4  # images
_LEAST, _LONGEST = 4, 0.4  # turns, and seconds of all
_BLANK = 64  # pixels of the side of an image that shows how much smaller model space is


class Acceleration(pl.Callback):
    """Compiles the network that is trained or asked, and lays its memory out as fast arithmetic likes it.

    Neither changes weights or, but for rounding, results. Lower precision is the trainer's (`--trainer.precision
    bf16-mixed`), a fused optimiser the optimiser's (`--optimizer.init_args.fused true`); noise is drawn on the device
    where the images are, and batches are pinned, without being asked. Checkpoints tell by what arithmetic they were
    calibrated, so that a loaded detector judges by the same.

    Args:
        compile: translate the network with `torch.compile`; costs a minute, and pays in long runs on a GPU. Every new
            size of batch is translated again.
        channels_last: put channels last in memory; pays with half precision.
        auto: on a CPU with AMX or AVX-512 BF16, time a block of convolutions when a run begins, and take bfloat16 and
            `channels_last` where they are faster. What is chosen stands in the run's settings instead of `auto`, and
            holds for all that is done with the run. The same command may then give other bits on another day.
    """

    def __init__(self, compile: bool = False, channels_last: bool = False, auto: bool = False) -> None:
        self.compile, self.channels_last, self.auto = compile, channels_last, auto

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare the network, once."""
        network = _network(pl_module)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compile and network._compiled_call_impl is None:
            network.compile()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write down the arithmetic."""
        checkpoint[_ARITHMETIC] = {"precision": str(trainer.precision), "channels_last": self.channels_last}


class Choice(NamedTuple):
    """What a run calculates in.

    Attributes:
        lower: whether in bfloat16 with channels last.
        why: for people, in a line.
    """

    lower: bool
    why: str


def choose(pl_module: pl.LightningModule, image: tuple[int, int, int], instructions: Sequence[str]) -> Choice:
    """Choose between float32 and bfloat16 with channels last by timing a block of the network's width and size.

    Args:
        pl_module: what is to be trained.
        image: channels, height and width of the images.
        instructions: of this CPU for bfloat16, as `bfloat16_instructions` names them.
    """
    if not instructions:
        return Choice(False, "float32, as this CPU has neither AMX nor AVX-512 BF16")
    network = _network(pl_module)
    width = next((layer.out_channels for layer in network.modules() if _is_trained_convolution(layer)), None)
    if width is None:
        return Choice(False, "float32, as no convolution is trained")
    rows, columns = _size(pl_module, image, getattr(network, "patch", 1))
    rows = max(1, min(rows, _PRODUCTS // (_TOGETHER * width**2 * columns)))
    before, after = probed(width, rows, columns)
    block = f"a block of {width} channels at {rows} x {columns} on {' and '.join(instructions)}"
    times = f"{1000 * after:.1f} ms instead of {1000 * before:.1f} ms for {block}"
    if after > _WORTH * before:
        return Choice(False, f"float32, as bfloat16 with channels last takes {times}")
    return Choice(True, f"bfloat16 with channels last, which takes {times}")


def bfloat16_instructions() -> list[str]:
    """What this CPU has for bfloat16: "AMX", "AVX-512 BF16", both or nothing."""
    known = {"AMX": torch.cpu._is_amx_tile_supported, "AVX-512 BF16": torch.cpu._is_avx512_bf16_supported}
    return [name for name, has in known.items() if has()]


def probed(channels: int, height: int, width: int) -> tuple[float, float]:
    """Seconds that a block takes, forth and back, in float32 and in bfloat16 with channels last; the best of a few.

    Args:
        channels: of its two convolutions.
        height: of the four images that it is given.
        width: likewise.
    """
    with torch.random.fork_rng(devices=[]):
        first, last = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        block = nn.Sequential(first, nn.GroupNorm(1, channels), nn.SiLU(), last)
        x = torch.randn(_TOGETHER, channels, height, width)

        def turn(lower: bool) -> None:
            order = torch.channels_last if lower else torch.contiguous_format
            block.to(memory_format=order)  # type: ignore[call-overload]
            with torch.autocast("cpu", torch.bfloat16, enabled=lower):
                output = block(x.to(memory_format=order))
            output.float().square().mean().backward()

        times: list[list[float]] = []
        end = time.perf_counter() + _LONGEST
        while len(times) < _LEAST or time.perf_counter() < end:
            times.append([_seconds(turn, lower) for lower in (False, True)])
    before, after = zip(*times, strict=True)
    return min(before), min(after)


def as_calibrated(detector: Detector, checkpoint: Mapping[str, Any]) -> None:
    """Let a detector that is loaded from a checkpoint calculate, without a trainer, as it did when it was calibrated.

    Mixed precision and the layout of memory are taken up; checkpoints of before they were told leave all as it is.
    """
    told = checkpoint.get(_ARITHMETIC) or {}
    for one in detector.ensemble:
        one.micro_batches.precision = _AUTOCAST.get(told.get("precision", ""))
    if told.get("channels_last"):
        _network(detector).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def other_precision(checkpoint: Mapping[str, Any], precision: str) -> str:
    """What to say where a checkpoint was calibrated in another precision; else nothing."""
    told = (checkpoint.get(_ARITHMETIC) or {}).get("precision", precision)
    if told == precision:
        return ""
    return f"The checkpoint was calibrated in {told}, but `trainer.precision` is {precision}"


def _seconds(turn: Callable[[bool], None], lower: bool) -> float:
    start = time.perf_counter()
    turn(lower)
    return time.perf_counter() - start


def _network(pl_module: pl.LightningModule) -> nn.Module:
    """What takes most of the time: the backbone of a denoiser, where there is one."""
    denoiser = getattr(pl_module, "denoiser", None)
    network: nn.Module = getattr(denoiser, "backbone", pl_module)
    return network


def _is_trained_convolution(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1) and layer.weight.requires_grad


@torch.no_grad()
def _size(pl_module: pl.LightningModule, image: tuple[int, int, int], patch: int) -> tuple[int, int]:
    """Positions at which a network works on images, in height and width."""
    codec = getattr(pl_module, "codec", None)
    side = _BLANK if codec is None else codec.encode(torch.zeros(1, image[0], _BLANK, _BLANK)).shape[-1]
    height, width = (max(1, extent * side // (_BLANK * patch)) for extent in image[1:])
    return height, width
