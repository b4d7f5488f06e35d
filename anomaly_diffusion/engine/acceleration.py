"""What makes the same mathematics faster on an accelerator, asked for by flags."""

import pytorch_lightning as pl
import torch
from torch import nn


class Acceleration(pl.Callback):
    """Compiles the network that is trained or asked, and lays its memory out as tensor cores like it.

    Neither changes weights, checkpoints or, but for rounding, results. Lower precision is the trainer's (`--trainer.
    precision bf16-mixed`), a fused optimiser the optimiser's (`--optimizer.init_args.fused true`); noise is drawn on
    the device where the images are, and batches are pinned, without being asked.

    Args:
        compile: translate the network with `torch.compile`; costs a minute, and pays in long runs on a GPU. Every new
            size of batch is translated again.
        channels_last: put channels last in memory; pays with half precision on a GPU, and not on a CPU.
    """

    def __init__(self, compile: bool = False, channels_last: bool = False) -> None:
        self.compile, self.channels_last = compile, channels_last

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Prepare the network, once."""
        network = _network(pl_module)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compile and network._compiled_call_impl is None:
            network.compile()


def _network(pl_module: pl.LightningModule) -> nn.Module:
    """What takes most of the time: the backbone of a denoiser, where there is one."""
    denoiser = getattr(pl_module, "denoiser", None)
    network: nn.Module = getattr(denoiser, "backbone", pl_module)
    return network
