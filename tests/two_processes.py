"""What each of two processes measures; the other finds this file by its name, which test files have not."""

import datetime

import torch
from torch import Tensor
from torch.distributed import FileStore, destroy_process_group, init_process_group

from anomaly_diffusion.metrics.anomaly import ImageFigures, ImageMetrics, PixelFigures, PixelMetrics

Outcome = tuple[PixelFigures, ImageFigures, int]


def make_batch() -> tuple[Tensor, Tensor]:
    """Seven images; the last reaches far lower than the others, so that whoever gets it needs wider bins."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(7, 1, 16, 16, generator=generator) < 0.1
    masks = blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
    spread = torch.tensor([1.0, 1, 1, 1, 1, 1, 9]).view(7, 1, 1, 1)
    return (torch.randn(7, 1, 64, 64, generator=generator) + masks).exp() ** spread, masks


def evaluate(share: slice, image_share: slice) -> Outcome:
    maps, masks = make_batch()
    pixels, images = PixelMetrics(exact=0), ImageMetrics()
    pixels.update(maps[share], masks[share])
    if len(maps[image_share]):
        images.update(maps.amax((1, 2, 3))[image_share], torch.arange(7)[image_share] > 3)
    return pixels.compute(), images.compute(), int(pixels.level)


def join_group(rank: int, folder: str) -> Outcome:
    """One process of two: five images in the first, two in the second; image scores in the first only."""
    wait = datetime.timedelta(seconds=90)
    init_process_group("gloo", store=FileStore(f"{folder}/store", 2), rank=rank, world_size=2, timeout=wait)
    try:
        return evaluate(*((slice(0, 5), slice(0, 7)) if rank == 0 else (slice(5, 7), slice(7, 7))))
    finally:
        destroy_process_group()
