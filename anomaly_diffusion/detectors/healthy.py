"""Healthy images on their way to whatever learns from them without gradients."""

from collections.abc import Iterable, Iterator
from typing import Any

from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DistributedSampler

from anomaly_diffusion.types import ImageBatch

__all__ = ["first", "normals", "over_processes", "training_batches"]


def training_batches(module: LightningModule, epoch: int = 0) -> Iterable[ImageBatch]:
    """Batches of one epoch of the trainer's training images, on the device, also where only a validation runs.

    Args:
        module: attached to a trainer.
        epoch: which of the orders and augmentations, under several processes.
    """
    data: Any = getattr(module.trainer, "datamodule", None)
    if data is not None:
        data.setup("fit")
    else:
        module.trainer.fit_loop.setup_data()
    # a loader of its own: the one that training goes through must not be begun anew
    loader: Any = module.trainer.train_dataloader if data is None else data.train_dataloader()
    if isinstance(loader.sampler, DistributedSampler):
        loader.sampler.set_epoch(epoch)
    return (module.transfer_batch_to_device(batch, module.device, 0) for batch in loader)


def first(count: int, batches: Iterable[ImageBatch]) -> Iterator[ImageBatch]:
    """As many batches as it takes to see `count` photographs, if there are so many."""
    for batch in batches:
        if count <= 0:
            return
        count -= len(batch.path)
        yield batch


def normals(module: LightningModule, batch: ImageBatch) -> ImageBatch:
    """The normal images of a batch, on the device."""
    on_device: ImageBatch = module.transfer_batch_to_device(batch, module.device, 0)
    return on_device.rows(~on_device.label)


def over_processes(module: LightningModule, total: Tensor) -> Tensor:
    """Sum over all processes; the tensor itself where there is no trainer."""
    if module._trainer is None:
        return total
    gathered: Tensor = module.all_gather(total)  # type: ignore[assignment]
    return gathered.reshape(-1, *total.shape).sum(0)
