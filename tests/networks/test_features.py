"""Frozen networks: the numbers are the library's own, and whatever is missing is named before anything runs."""

import os

import pytest
import torch
from analytic import TinyFeatures, seeded
from safetensors.torch import save_file

from anomaly_diffusion.networks.features import TimmFeatures, TorchvisionFeatures
from anomaly_diffusion.networks.weights import find_weights

IMAGE = torch.rand(2, 3, 64, 96, generator=seeded()) * 2 - 1
MOBILENET, LITE = "mobilenet_v2", "efficientnet_lite0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Weights of random networks, in the files that real ones come in."""
    from timm import create_model
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    save_file(mobilenet_v2().state_dict(), tmp_path / f"{MOBILENET}.safetensors")
    save_file(create_model(LITE).state_dict(), tmp_path / f"{LITE}_timm.safetensors")
    monkeypatch.setenv("ANOMALY_DIFFUSION_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.delenv("ANOMALY_DIFFUSION_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path), raising=False)

    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)


def test_stages_of_torchvision_are_what_its_modules_put_out(folder):
    from safetensors.torch import load_file
    from torchvision.models import mobilenet_v2

    ours = TorchvisionFeatures(MOBILENET, ("features.3", "features.6"), stride=4)
    whole = mobilenet_v2().eval()
    whole.load_state_dict(load_file(folder / f"{MOBILENET}.safetensors"))
    standard = ((IMAGE + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    with torch.no_grad():
        expected = [whole.features[:4](standard), whole.features[:7](standard)]
        found = ours.stages(standard)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert ours(IMAGE).shape == (2, 24 + 32, 16, 24)


def test_stages_of_timm_are_those_of_its_own_extractor(folder):
    ours = TimmFeatures(LITE, (1, 2), stride=8)
    assert ours(IMAGE).shape == (2, 24 + 40, 8, 12)
    assert [tuple(stage.shape[1:]) for stage in ours.stages(IMAGE)] == [(24, 16, 24), (40, 8, 12)]


def test_a_grey_image_is_a_colour_image_of_three_equal_channels():
    grey, features = IMAGE[:, :1], TinyFeatures()
    assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))


def test_the_grid_covers_images_of_any_size():
    assert TinyFeatures(stride=4)(IMAGE[..., :63, :41]).shape == (2, 10, 16, 11)


def test_each_image_has_its_own_features():
    features = TinyFeatures()
    alone = torch.cat([features(IMAGE[:1]), features(IMAGE[1:])])
    torch.testing.assert_close(features(IMAGE), alone, rtol=0, atol=1e-6)


def test_a_neighbourhood_is_averaged():
    fine, averaged = TinyFeatures(2, 1), TinyFeatures(2, 3)
    expected = torch.nn.functional.avg_pool2d(fine(IMAGE)[:, :4], 3, 1)
    torch.testing.assert_close(averaged(IMAGE)[:, :4, 1:-1, 1:-1], expected)


def test_training_changes_nothing():
    features = TinyFeatures().train()
    assert not features.training
    assert not features.network.training
    assert not any(parameter.requires_grad for parameter in features.parameters())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TorchvisionFeatures("no_net"), "`name` must be a classifier of torchvision, got no_net"),
        (lambda: TimmFeatures("no_net"), "`name` must be a network of timm, got no_net"),
        (lambda: TorchvisionFeatures(stages=("features.3", "layer9")), r"got \['layer9'\]. Some that it has: features"),
        (lambda: TimmFeatures(stages=(1, 9)), r"among 0 to 4, got \[1, 9\]"),
        (lambda: TimmFeatures(weights=f"{MOBILENET}.safetensors"), "holds no weights for .* parts of this network"),
        (lambda: TimmFeatures(stride=0), "`stride` must be at least 1"),
        (lambda: TimmFeatures(neighbourhood=2), "`neighbourhood` must be odd"),
        (lambda: TorchvisionFeatures()(IMAGE[..., :20, :20]), "`image_size` 20 x 20 is too small: stage 2"),
    ],
)
def test_what_cannot_be_is_refused(folder, make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_file_that_is_no_weights_is_named(folder):
    (folder / "broken.safetensors").write_bytes(b"these are no weights")
    with pytest.raises(ValueError, match=r"broken\.safetensors does not hold weights"):
        TorchvisionFeatures(weights="broken.safetensors")


@pytest.mark.parametrize("kind", [TorchvisionFeatures, TimmFeatures])
def test_absent_weights_are_named_with_the_place_to_put_them(offline, kind):
    with pytest.raises(FileNotFoundError, match=r"Put a file .*\.safetensors into a folder and set ANOMALY_DIFFUSION"):
        kind()


def test_a_file_is_looked_for_here_and_below_the_folder_of_weights(folder, tmp_path, monkeypatch):
    assert find_weights(MOBILENET, None) == folder / f"{MOBILENET}.safetensors"
    assert find_weights("other", f"{MOBILENET}.safetensors") == folder / f"{MOBILENET}.safetensors"
    assert find_weights("unknown", None) is None
    with pytest.raises(FileNotFoundError, match=r"none at .* nor "):
        find_weights("other", "absent.safetensors")


@pytest.mark.skipif("ANOMALY_DIFFUSION_WEIGHTS" not in os.environ, reason="ANOMALY_DIFFUSION_WEIGHTS is not set")
@pytest.mark.parametrize("kind", [TorchvisionFeatures, TimmFeatures])
def test_real_weights_tell_a_scratch_from_a_change_of_light(kind):
    features = kind()
    plain = torch.linspace(-0.5, 0.5, 128).expand(1, 3, 128, 128).clone()
    scratched = plain.clone()
    scratched[..., 60:62, 30:100] += 0.5
    change = (features(scratched) - features(plain)).square().sum(1).sqrt()[0]
    assert change[6:9, 4:12].mean() > 3 * change[:3].mean()
    assert change[6:9, 4:12].mean() > (features(plain + 0.05) - features(plain)).square().sum(1).sqrt().mean()
