import pytest
import torch
from analytic import awakened, image_batch, seeded
from detector_cases import STRATEGIES

from anomaly_diffusion.codecs.latent import AgainstLatents
from anomaly_diffusion.detectors.pixel_detector import PixelDetector
from anomaly_diffusion.diffusion.noise import GaussianNoise
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.diffusion.parametrisation import VelocityPrediction
from anomaly_diffusion.diffusion.schedule import CosineSchedule
from anomaly_diffusion.networks.unet import Backbone, DiffusersUNet, UNet
from anomaly_diffusion.scoring.activations import ActivationComponents, ActivationResidual
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.residual import L1Residual, L2Residual, Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring

JUDGES = {"by position": MahalanobisResidual, "nearest": lambda: NearestResidual(context=0.0, at_most=64)}


def _detector(*residuals: Residual, backbone: Backbone | None = None) -> PixelDetector:
    torch.manual_seed(0)
    backbone = backbone or awakened(UNet(width=8, multipliers=(1, 2), detail=4))
    parts = backbone, CosineSchedule(), VelocityPrediction(), GaussianNoise(), Objective()
    return PixelDetector(*parts, STRATEGIES["noise-free"], Scoring(residuals or [ActivationResidual()])).eval()


def _learnt(residual: ActivationResidual, backbone: Backbone | None = None) -> PixelDetector:
    detector = _detector(L1Residual(), residual, backbone=backbone)
    detector.learn([image_batch(6, 32, 24, seed=seed) for seed in (1, 2)])
    detector.calibrate([image_batch(6, 32, 24, seed=5)])
    return detector


def _small(judge: str = "by position", **options: object) -> ActivationResidual:
    return ActivationResidual(JUDGES[judge](), **{"components": 5, "stride": 4} | options)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("of_reconstruction", [False, True])
def test_an_image_is_judged_alone_by_what_the_levels_make_of_it(judge: str, of_reconstruction: bool) -> None:
    detector = _learnt(_small(judge, of_reconstruction=of_reconstruction, depths=[0.1, 0.5]))
    batch = image_batch(4, 32, 24)
    together, alone = detector(batch), [detector(batch.rows(torch.tensor([number]))) for number in range(4)]
    torch.testing.assert_close(
        together.anomaly_map, torch.cat([one.anomaly_map for one in alone]), rtol=1e-4, atol=1e-4
    )
    assert together.anomaly_map.shape == (4, 1, 32, 24)


@pytest.mark.parametrize("backbone", [None, DiffusersUNet(widths=(8, 16))], ids=["ours", "diffusers"])
def test_components_of_training_images_are_white(backbone: Backbone | None) -> None:
    detector = _learnt(_small(levels=[0, 1]), backbone)
    seen = torch.cat([image_batch(6, 32, 24, seed=seed).image for seed in (1, 2)])
    rows = detector.scoring.residuals[1].components(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows @ rows.T / rows.shape[1], torch.eye(5), atol=1e-3, rtol=0)


def test_the_last_channel_is_the_logarithm_of_the_energy_of_the_noise() -> None:
    detector, image = _detector(_small()), image_batch(2, 32, 24).image
    components = detector.scoring.residuals[0].components
    with torch.no_grad():
        estimate, _ = detector.denoiser.activations(image, 0.1)
        cells = estimate.noise.square().mean(1).unfold(1, 4, 4).unfold(2, 4, 4).mean((-1, -2))
        torch.testing.assert_close(components.activations(image)[:, -1], cells.log())


def test_a_frame_of_any_size_has_a_map_of_its_own_size() -> None:
    detector = _detector(_small())
    batch = image_batch(9, 30, 21, seed=1)
    detector.learn([batch])
    residual = detector.scoring.residuals[0]
    assert residual.maps(batch.image, batch.image[:, None].repeat(1, 3, 1, 1, 1)).shape == (9, 3, 30, 21)


def test_a_map_is_largest_where_the_change_is() -> None:
    detector = _learnt(_small())
    residual, image = detector.scoring.residuals[1], image_batch(1, 32, 24, seed=7).image
    changed = image.clone()
    changed[..., 8:16, 8:16] = 1.0
    grown = residual.maps(changed, changed[:, None]) - residual.maps(image, image[:, None])
    row, column = divmod(int(grown[0, 0].argmax()), 24)
    assert 4 <= row < 20
    assert 4 <= column < 20


def test_latents_are_read_where_latents_are_compared() -> None:
    latent = torch.randn(2, 4, 8, 8, generator=seeded())
    assert AgainstLatents().in_model_space(None, latent) is latent  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depths": []}, "`depths` must name at least one"),
        ({"depths": [0.0]}, "`depths` must name at least one"),
        ({"components": 0}, "`components` must be at least 1"),
        ({"stride": 0}, "`stride` must be at least 1"),
    ],
)
def test_numbers_outside_their_range_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ActivationResidual(**options)


def test_all_components_are_kept_where_there_are_fewer_channels_than_asked_for() -> None:
    assert _learnt(ActivationResidual(stride=2)).scoring.residuals[1].components.projection.shape == (49, 49)


def test_few_positions_leave_fewer_components() -> None:
    detector, few = _detector(ActivationResidual(stride=16)), image_batch(2, 32, 24, seed=1)
    detector.learn([few])
    detector.calibrate([image_batch(6, 32, 24, seed=5)])
    assert detector.scoring.residuals[0].components.projection.shape == (7, 49)
    assert detector(few).anomaly_map.isfinite().all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"levels": [7]}, r"`levels` must lie in 0 to 3, those of the backbone, got \[7\]"),
        ({"depths": [0.1, 1e20]}, "`depths` of the activations must be at most"),
    ],
)
def test_what_the_denoiser_has_not_is_refused_before_training(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _detector(_small(**options))


def test_a_judge_that_learns_nothing_measures_the_length_of_components() -> None:
    detector, batch = _learnt(ActivationResidual(L2Residual(), components=5, stride=4)), image_batch(2, 32, 24)
    residual = detector.scoring.residuals[1]
    expected = residual.components(batch.image).square().mean(1, keepdim=True)
    torch.testing.assert_close(residual.judge.maps(*residual._compared(batch.image, batch.image[:, None])), expected)


def test_a_judge_of_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`judge` must compare components, .* got SSIMResidual"):
        ActivationResidual(SSIMResidual())


def test_a_detector_without_denoiser_is_told() -> None:
    with pytest.raises(ValueError, match="take a detector that diffuses"):
        Scoring([ActivationResidual()]).attach(None)


def test_a_backbone_with_categories_is_told() -> None:
    with pytest.raises(ValueError, match="knows no categories"):
        _detector(backbone=UNet(width=8, classes=2))


def test_components_must_be_learnt_first() -> None:
    with pytest.raises(RuntimeError, match="has learnt nothing yet"):
        ActivationComponents([0.1], 5, 4)(torch.zeros(1, 3, 8, 8))


def test_a_state_dict_brings_what_was_learnt() -> None:
    one, other, batch = _learnt(_small()), _detector(L1Residual(), _small()), image_batch(3, 32, 24)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(batch).anomaly_map, one(batch).anomaly_map, rtol=0, atol=0)
