"""Features of an encoder are what it sees on its way."""

import torch
from analytic import seeded

from anomaly_diffusion.networks.autoencoder import ConvAutoencoder
from anomaly_diffusion.networks.features import AutoencoderFeatures, in_pixels

IMAGE = torch.rand(2, 3, 32, 48, generator=seeded()) * 2 - 1
MEAN, SPREAD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
STANDARD = ((IMAGE + 1) / 2 - MEAN[:, None, None]) / SPREAD[:, None, None]


def small() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(channels=4, widths=(8, 16), patch=2, blocks=2)


def test_an_image_comes_back_from_its_standard() -> None:
    torch.testing.assert_close(in_pixels(STANDARD), IMAGE)


def test_the_last_stage_leads_to_the_latent() -> None:
    autoencoder = small()
    latent = autoencoder.encode(IMAGE)
    stages = AutoencoderFeatures(autoencoder).stages(STANDARD)
    assert [tuple(stage.shape) for stage in stages] == [(2, 8, 16, 24)] * 2 + [(2, 16, 8, 12)] * 2
    head = autoencoder.encoder[3:]
    torch.testing.assert_close(head(stages[-1]).chunk(2, dim=1)[0], latent)


def test_all_stages_are_joined_on_one_grid() -> None:
    assert AutoencoderFeatures(small(), stride=4)(IMAGE).shape == (2, 2 * 8 + 2 * 16, 8, 12)
