"""Batches of normal images, training and validation, for whatever learns from them without gradients.

Every process goes through all of them: what is learnt is the same everywhere, to the last bit, and the same as in one
process that has as many threads. Their number is bounded, or one look at each is all it takes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import LightningModule
from torch.utils.data import DistributedSampler

from anomaly_diffusion.types import ImageBatch, NormalImages

__all__ = ["first", "normals", "training_batches", "validation_batches"]


def training_batches(module: LightningModule, epoch: int = 0, whole: bool = True) -> Iterable[ImageBatch]:
    """Batches of all training images, on the device, also where only a validation runs.

    Args:
        module: attached to a trainer; its data brings them as `NormalImages`, or else as loaders.
        epoch: as of `NormalImages`.
        whole: likewise.
    """
    data: Any = getattr(module.trainer, "datamodule", None)
    if isinstance(data, NormalImages):
        return _OnDevice(module, data.normal_batches(epoch, whole))
    if data is not None:
        data.setup("fit")
        return _OnDevice(module, data.train_dataloader())
    module.trainer.fit_loop.setup_data()
    return _OnDevice(module, _unshared(module.trainer.train_dataloader))


def validation_batches(module: LightningModule) -> Iterable[ImageBatch]:
    """Batches of all validation images, on the device.

    Args:
        module: validated by a trainer.
    """
    return _OnDevice(module, _unshared(module.trainer.val_dataloaders))


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


@dataclass(frozen=True)
class _OnDevice(Iterable[ImageBatch]):
    """Batches on the device of a module, as often as they are asked for."""

    module: LightningModule
    batches: Iterable[ImageBatch]

    def __iter__(self) -> Iterator[ImageBatch]:
        return (self.module.transfer_batch_to_device(batch, self.module.device, 0) for batch in self.batches)


def _unshared(loader: Any) -> Any:
    """The loader, or, if it gives a process its share only, another that gives all."""
    if not isinstance(getattr(loader, "sampler", None), DistributedSampler):
        return loader
    kept = {name: getattr(loader, name) for name in ("batch_size", "num_workers", "collate_fn", "generator")}
    return type(loader)(loader.dataset, **kept)
