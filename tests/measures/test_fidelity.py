import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio

from anomaly_diffusion.measures.fidelity import kept_share, psnr, ssim


def test_fidelity_agrees_with_the_libraries_where_all_is_photograph():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 24, 20, generator=generator) * 2 - 1
    other = (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(-1, 1)
    valid = torch.ones(2, 1, 24, 20, dtype=torch.bool)
    expected = peak_signal_noise_ratio(other, image, data_range=2.0, dim=(1, 2, 3), reduction="none")
    torch.testing.assert_close(psnr(image, other, valid), expected)
    inside = torch.zeros_like(valid)
    inside[..., 3:-3, 3:-3] = True  # the library leaves out windows that reach beyond the border
    pair = (image[0].numpy() + 1, other[0].numpy() + 1)  # black is zero there
    library = structural_similarity(*pair, data_range=2.0, channel_axis=0, use_sample_covariance=False)
    assert float(ssim(image, other, inside)[0]) == pytest.approx(library, abs=1e-5)


def test_padding_does_not_count_as_fidelity():
    image, other = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    other[..., 12:] = 1
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    valid[..., 12:] = False
    assert float(psnr(image, other, valid)) == pytest.approx(100 + 10 * np.log10(4))


def test_a_copy_has_a_structural_similarity_of_one_and_a_blur_has_less():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert float(ssim(image, image, valid)) == pytest.approx(1)
    assert float(ssim(image, image.mean((2, 3), keepdim=True).expand_as(image), valid)) < 0.5


def test_a_copy_has_the_highest_fidelity_there_is():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert float(ssim(image, image, valid)) == 1
    assert float(psnr(image, image, valid)) == pytest.approx(100 + 10 * np.log10(4))


@pytest.mark.parametrize("level", [-0.9, 0.0, 0.9])
def test_a_faint_shift_of_a_flat_image_is_no_loss_of_structure_at_any_brightness(level):
    image, valid = torch.full((1, 1, 16, 16), level), torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert 0.9 < float(ssim(image + 0.02, image - 0.02, valid)) < 1


def test_the_kept_share_is_that_of_the_defect_alone():
    generator = torch.Generator().manual_seed(2)
    clean, painted = (torch.rand(2, 3, 12, 12, generator=generator) for _ in range(2))
    mask = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, :, 2:5, 3:9] = mask[1, :, 7:, :4] = True
    painted = torch.where(mask, painted, clean)
    elsewhere = torch.rand(2, 3, 12, 12, generator=generator) * ~mask  # says nothing about the defect
    shares = [1.0, 0.25, 0.0, -0.5]
    reconstructions = torch.stack([clean + share * (painted - clean) + elsewhere for share in shares], dim=1)
    torch.testing.assert_close(kept_share(clean, painted, reconstructions, mask), torch.tensor([shares, shares]))
    assert kept_share(clean, clean, reconstructions, mask).isnan().all()
