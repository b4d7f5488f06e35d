"""Fidelity is that of normal images, however they come in batches, and only where images are what is compared."""

from types import SimpleNamespace

import pytest
import torch
from analytic import image_batch

from anomaly_diffusion.callbacks.reconstruction_fidelity import Fidelity
from anomaly_diffusion.measures import fidelity
from anomaly_diffusion.scoring.residual import L1Residual
from anomaly_diffusion.types import Prediction

BATCH = image_batch(7)
REBUILT = (BATCH.image + 0.1 * torch.arange(1, 8)[:, None, None, None]).clamp(-1, 1)


def _measure(sizes: list[int], perceptual=None, depths: int = 1, reference=BATCH.image) -> dict[str, float]:
    reduce = SimpleNamespace(reduce=lambda sums, reduce_op: sums)
    trainer = SimpleNamespace(world_size=1, global_rank=0, test_dataloaders=None, strategy=reduce)
    module = SimpleNamespace(device=torch.device("cpu"))
    callback, start = Fidelity(perceptual), 0
    callback.on_test_start(trainer, module)
    for size in sizes:
        batch = BATCH.rows(torch.arange(start, min(start + size, len(BATCH.path))))
        rebuilt = REBUILT[start : start + size, None].expand(-1, depths, -1, -1, -1)
        maps = torch.zeros(size, depths, 16, 16)
        shown = reference[start : start + size]
        callback.on_test_batch_end(
            trainer, module, Prediction(shown, rebuilt, maps, maps[:, :1], maps[:, 0, 0, 0], 0), batch, 0
        )
        start += size
    callback.on_test_epoch_end(trainer, module)
    return callback.shared.fidelity


@pytest.mark.parametrize("sizes", [[7], [3, 4], [2, 1, 4]])
def test_it_is_the_mean_over_normal_images(sizes: list[int]) -> None:
    normal = ~BATCH.label
    figures = _measure(sizes, L1Residual())
    shown = BATCH.image[normal], REBUILT[normal], BATCH.valid[normal]
    assert figures["psnr"] == pytest.approx(float(fidelity.psnr(*shown).mean()), rel=1e-5)
    assert figures["ssim"] == pytest.approx(float(fidelity.ssim(*shown).mean()), rel=1e-5)
    inside = (shown[0] - shown[1]).abs()[..., :-1]  # the last column is padding
    assert figures["L1Residual"] == pytest.approx(float(inside.mean()), rel=1e-5)


def test_nothing_is_measured_of_several_depths_or_of_what_is_no_image() -> None:
    assert _measure([7], depths=2) == {}
    assert _measure([7], reference=BATCH.image * 0.5) == {}
