import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from analytic import seeded
from frozen_networks import TinyFeatures, lpips_weights, random_lpips
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_diffusion.networks import lpips
from anomaly_diffusion.networks.features import TorchvisionFeatures
from anomaly_diffusion.networks.lpips import ShiftTolerantLPIPS
from anomaly_diffusion.networks.weights import WEIGHTS_VARIABLE, find_weights
from anomaly_diffusion.scoring.perceptual import FeatureCosineResidual, LPIPSResidual
from anomaly_diffusion.scoring.residual import Residual
from anomaly_diffusion.scoring.scorer import Scoring

MAKERS = {"cosine": lambda seed=0: FeatureCosineResidual(TinyFeatures(seed=seed)), "lpips": random_lpips}
both = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def needs(name: str) -> pytest.MarkDecorator:
    reason = f"{WEIGHTS_VARIABLE} names no folder with weights of {name}"
    return pytest.mark.skipif(find_weights(name, None) is None, reason=reason)


def _pair(height: int = 64, width: int = 48) -> tuple[Tensor, Tensor]:
    """Two smooth, related images."""
    fields = torch.rand(4, 3, height // 4, width // 4, generator=seeded()) * 2 - 1
    smooth = F.interpolate(fields, size=(height, width), mode="bilinear")
    return smooth[:2], (0.7 * smooth[:2] + 0.3 * smooth[2:]).clamp(-1, 1)


def _texture() -> tuple[Tensor, Tensor, Tensor]:
    """A texture, the same with a hole in it, and the same moved by a pixel."""
    fields = torch.rand(1, 3, 17, 17, generator=seeded())
    wide = F.interpolate(fields, size=(64, 65), mode="bicubic").clamp(0, 1) * 0.6 - 0.3
    damaged = wide[..., :64].clone()
    damaged[..., 24:40, 24:40] = -1
    return wide[..., :64], damaged, wide[..., 1:]


def theirs(monkeypatch: pytest.MonkeyPatch, **options: object) -> nn.Module:
    """The authors' own module, without what their package imports but does not use."""
    pytest.importorskip("stlpips_pytorch", reason="stlpips-pytorch is not installed")
    for unused, name in {"IPython": "embed", "torchsummary": "summary"}.items():
        if importlib.util.find_spec(unused) is None:
            stand_in = ModuleType(unused)
            setattr(stand_in, name, None)
            monkeypatch.setitem(sys.modules, unused, stand_in)
    package = importlib.import_module("stlpips_pytorch.stlpips")
    return package.LPIPS(net="alex", variant="shift_tolerant", spatial=True, verbose=False, **options)


@pytest.mark.parametrize("scale", [1, 2])
def test_feature_cosine_is_that_of_ddad(scale: int) -> None:
    """1 - cos of 3 x 3 means, with zeros beyond the border, of each stage on its own grid, corners upon corners."""
    image, reconstruction = _pair()
    extractor = TinyFeatures(stride=4)
    standard = [torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    large = [F.interpolate(x, scale_factor=scale, mode="bilinear") for x in (image, reconstruction)]
    stages = [extractor.stages(((x + 1) / 2 - standard[0]) / standard[1]) for x in large]
    expected = torch.zeros(2, 1, 64, 48)
    for pair in zip(*stages, strict=True):
        x, y = (
            F.unfold(stage, 3, padding=1).reshape(2, stage.shape[1], 9, -1).mean(2).reshape(stage.shape)
            for stage in pair
        )
        away = 1 - (x * y).sum(1, keepdim=True) / (x.norm(dim=1) * y.norm(dim=1))[:, None]
        expected += F.interpolate(away, size=(64, 48), mode="bilinear", align_corners=True) / 2
    difference = FeatureCosineResidual(extractor, scale)(image, reconstruction)
    torch.testing.assert_close(difference, expected, rtol=1e-4, atol=1e-6)
    assert difference.max() <= 2


def test_features_of_opposite_direction_differ_by_two() -> None:
    class Colours(TinyFeatures):
        def own_grids(self, image: Tensor) -> list[Tensor]:
            return [image]

    image, _ = _pair()
    torch.testing.assert_close(FeatureCosineResidual(Colours())(image, -image), torch.full((2, 1, 64, 48), 2.0))


def test_freezing_a_network_changes_no_feature() -> None:
    extractor, (image, _) = TinyFeatures(), _pair()
    before = extractor(image)
    assert torch.equal(FeatureCosineResidual(extractor)._network(image), before)


@pytest.mark.parametrize("size", [(64, 64), (47, 70), (21, 21)])
def test_lpips_is_that_of_its_authors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: tuple[int, int]) -> None:
    state = lpips_weights()
    save_file(state, tmp_path / "stlpips_alex.safetensors")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    reference = theirs(monkeypatch, pretrained=False)
    assert not reference.load_state_dict(state, strict=False).unexpected_keys
    image, reconstruction = torch.rand(2, 2, 3, *size, generator=seeded()) * 2 - 1
    with torch.no_grad():
        expected = reference(image, reconstruction)
    assert expected.mean() > 0.1
    torch.testing.assert_close(LPIPSResidual()(image, reconstruction), expected, rtol=1e-4, atol=1e-4)


def test_trained_lpips_is_that_of_its_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the weights come from a file of ours or from the package."""
    reference, (image, reconstruction) = theirs(monkeypatch), _pair()
    with torch.no_grad():
        expected = reference(image, reconstruction)
    torch.testing.assert_close(LPIPSResidual()(image, reconstruction), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(LPIPSResidual, marks=needs("stlpips_alex")),
        pytest.param(lambda: FeatureCosineResidual(TorchvisionFeatures(), 4), marks=needs("mobilenet_v2")),
    ],
    ids=["lpips", "cosine"],
)
def test_trained_networks_see_a_hole_where_it_is_and_overlook_a_shift_by_a_pixel(make) -> None:
    image, damaged, moved = _texture()
    hole, shift = make()(image, damaged)[0, 0], make()(image, moved)[0, 0]
    assert hole[28:36, 28:36].mean() > 4 * hole[:8].mean()
    assert shift[16:48, 16:48].mean() < 0.1 * hole[28:36, 28:36].mean()


@both
def test_nothing_of_a_frozen_network_learns_or_reaches_a_checkpoint(make) -> None:
    scoring = Scoring([make()])
    assert not list(scoring.parameters())
    assert not scoring.state_dict()
    assert list(scoring.buffers())


@both
def test_a_frozen_network_is_moved_with_the_detector(make) -> None:
    residual, (image, reconstruction) = make().double(), _pair()
    assert residual(image.double(), reconstruction.double()).dtype == torch.float64


@both
def test_training_leaves_a_residual_alone(make) -> None:
    residual, (image, reconstruction) = make(), _pair()
    before = residual(image, reconstruction)
    residual.train()
    for _ in range(2):
        assert torch.equal(residual(image, reconstruction), before)


@both
def test_maps_of_several_depths_are_those_of_each(make) -> None:
    residual, (image, reconstruction) = make(), _pair()
    maps = residual.maps(image, torch.stack([reconstruction, image], dim=1))
    torch.testing.assert_close(maps[:, :1], residual(image, reconstruction))
    assert not maps[:, 1].any()


@both
def test_grey_images_are_compared_as_colour_images_are(make) -> None:
    residual, (image, reconstruction) = make(), (x[:, :1] for x in _pair())
    colour = residual(image.expand(-1, 3, -1, -1), reconstruction.expand(-1, 3, -1, -1))
    assert torch.equal(residual(image, reconstruction), colour)


@both
def test_what_is_no_picture_is_refused(make) -> None:
    with pytest.raises(ValueError, match="`image` must have 1 or 3 channels, got 8"):
        make()(torch.zeros(1, 8, 32, 32), torch.zeros(1, 8, 32, 32))


@pytest.mark.parametrize(("residual", "side"), [(FeatureCosineResidual(TinyFeatures()), 8), (random_lpips(), 20)])
def test_frames_that_are_too_small_are_refused_unless_enlarged(residual: Residual, side: int) -> None:
    image = torch.zeros(1, 3, side, side)
    with pytest.raises(ValueError, match=f"`image_size`.*{side} x {side}"):
        residual(image, image)
    residual.scale = 2
    assert residual(image, image).shape == (1, 1, side, side)


def test_absent_weights_are_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=f"stlpips_alex.safetensors.*{WEIGHTS_VARIABLE}.*pip install"):
        LPIPSResidual()


@pytest.mark.parametrize("change", ["absent", "shape", "no safetensors"])
def test_weights_of_another_network_are_refused(tmp_path: Path, change: str) -> None:
    state, path = lpips_weights(), tmp_path / "other.safetensors"
    weight = state.pop("net.slice2.5.weight")
    if change == "shape":
        state["net.slice2.5.weight"] = weight[:, :32].contiguous()
    save_file(state, path)
    if change == "no safetensors":
        path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"other.safetensors does not hold weights for ShiftTolerantLPIPS"):
        ShiftTolerantLPIPS(str(path))
