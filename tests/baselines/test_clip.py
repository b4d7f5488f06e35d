import math

import pytest
import torch
from analytic import image_batch, seeded, single
from torch import Tensor
from torch.nn import functional as F

from anomaly_diffusion.baselines.clip import ZeroShotCLIP
from anomaly_diffusion.baselines.clip_few_shot import FewShotCLIP
from anomaly_diffusion.baselines.clip_model import CLIPNetwork, harmonic_mean, overlap_mean
from anomaly_diffusion.baselines.clip_residual import CLIPResidual
from anomaly_diffusion.baselines.prompts import Prompts
from anomaly_diffusion.baselines.tiny_clip import write_tiny_clip
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring

pytest.importorskip("transformers", reason="the extra `baselines` is not installed")
SIDE = 32
PROMPTS = {"normal": ["{}", "clean {}"], "anomalous": ["broken {}"], "templates": ["a photo of the {}"]}
HEALTHY = [image_batch(4, SIDE, SIDE, seed=seed) for seed in range(3)]
HEALTHY = [batch._replace(key=batch.key + 7 * number) for number, batch in enumerate(HEALTHY)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_tiny_clip(tmp_path_factory.mktemp("clip")))


def untrained(folder: str, kind: str, shots: int = 3, seed: int = 0, smoothing: float = 0.0) -> ZeroShotCLIP:
    parts = CLIPNetwork(folder), Prompts("tile", **PROMPTS), Scoring(smoothing=smoothing, pooling=MaxPooling())
    return (ZeroShotCLIP(*parts) if kind == "zero" else FewShotCLIP(*parts, shots, seed)).eval()


def trained(folder: str, kind: str, **options: float) -> ZeroShotCLIP:
    detector = untrained(folder, kind, **options)
    if isinstance(detector, FewShotCLIP):
        detector.remember(HEALTHY)
    detector.calibrate([image_batch(6, SIDE, SIDE, seed=100)])
    return detector


kinds = pytest.mark.parametrize("kind", ["zero", "few"])


def test_windows_that_overlap_are_averaged_as_by_hand() -> None:
    windows = torch.tensor([[[[1.0, 2.0], [4.0, 0.5]]]])  # of 2 x 2 patches, on a grid of 3 x 3
    expected = [[1, 1.5, 2], [2.5, 7.5 / 4, 1.25], [4, 2.25, 0.5]]
    torch.testing.assert_close(overlap_mean(windows, 2)[0, 0], torch.tensor(expected))
    harmonic = [[1, 4 / 3, 2], [1.6, 4 / 3.75, 0.8], [4, 2 / 2.25, 0.5]]
    torch.testing.assert_close(harmonic_mean(windows, 2)[0, 0], torch.tensor(harmonic))
    assert torch.equal(overlap_mean(windows, 1), windows)


def test_a_harmonic_mean_with_a_zero_in_it_is_zero() -> None:
    windows = torch.tensor([[[[0.0, 2.0], [4.0, 0.5]]]])
    assert harmonic_mean(windows, 2)[0, 0, :2, :2].tolist() == [[0, 0], [0, 0]]
    assert harmonic_mean(windows, 2)[0, 0, 2, 2] == 0.5


def test_a_map_is_the_harmonic_mean_over_scales_and_the_image(folder) -> None:
    detector, batch = untrained(folder, "zero"), image_batch(2, SIDE, SIDE)
    x_0 = detector.codec.encode(batch.image)
    parts = [detector.anomalous(x_0).expand(-1, -1, 4, 4)]
    for scale, windows in zip((2, 3), detector.network.windows(batch.image), strict=True):
        parts.append(harmonic_mean(detector.anomalous(windows), scale))
    expected = 3 / sum(1 / part for part in parts)
    torch.testing.assert_close(detector.restore(batch, x_0).anomaly_maps, expected)


def test_likeness_to_texts_becomes_a_share_by_the_temperature_of_winclip(folder) -> None:
    """exp(<v, anomalous> / 0.07) / (exp(<v, normal> / 0.07) + exp(<v, anomalous> / 0.07)), by hand."""
    detector = untrained(folder, "zero")
    detector.labels = torch.eye(2)
    found = float(detector.anomalous(torch.tensor([0.6, 0.8])[None, :, None, None]))
    assert found == pytest.approx(1 / (1 + math.exp((0.6 - 0.8) / 0.07)), rel=1e-5)


def test_the_temperature_that_clip_has_learnt_can_be_taken_instead(folder) -> None:
    network = CLIPNetwork(folder)
    published, own = (ZeroShotCLIP(network, Prompts("tile", **PROMPTS), temperature=one) for one in (0.07, None))
    assert own.temperature == network.texts(["a photo"])[1] != published.temperature
    assert own.scoring_fingerprint != published.scoring_fingerprint
    with pytest.raises(ValueError, match="`temperature` must be positive, or null for CLIP's own, got 0"):
        FewShotCLIP(network, temperature=0.0)


def test_a_score_without_shots_is_what_texts_say_of_the_whole_image(folder) -> None:
    detector, batch = trained(folder, "zero"), image_batch(3, SIDE, SIDE, seed=50)
    likeness = detector.network.embed(batch.image) @ detector.labels.T / detector.temperature
    torch.testing.assert_close(detector(batch).score, likeness.softmax(1)[:, 1].detach())
    assert detector(batch).reconstruction.shape == (3, 1, 3, SIDE, SIDE)


@kinds
def test_a_verdict_depends_on_one_image_only(folder, kind) -> None:
    detector, batch = trained(folder, kind, smoothing=1.0), image_batch(5, SIDE, SIDE, seed=50)
    together = detector(batch)
    alone = [detector(single(batch, index)) for index in range(5)]
    torch.testing.assert_close(together.score, torch.cat([one.score for one in alone]), rtol=1e-4, atol=1e-5)
    maps = torch.cat([one.anomaly_map for one in alone])
    torch.testing.assert_close(together.anomaly_map, maps, rtol=1e-3, atol=1e-3)


def test_an_image_that_is_remembered_has_no_distance_and_another_has(folder) -> None:
    detector = trained(folder, "few", shots=12)
    views = detector._views(HEALTHY[1].image)
    assert detector.distance(views).max() < 1e-9
    other = detector.distance(detector._views(image_batch(2, SIDE, SIDE, seed=50).image))
    assert other.min() > 1e-6
    assert other.max() <= 1


def test_a_distance_is_half_of_one_minus_the_cosine_to_the_nearest_healthy_view(folder) -> None:
    detector, batch = trained(folder, "few", shots=12), image_batch(2, SIDE, SIDE, seed=50)
    reconstruction = torch.cat([one.image for one in HEALTHY])
    maps = []
    for scale, seen, known in zip(
        (1, 2, 3), detector._views(batch.image), detector._views(reconstruction), strict=True
    ):
        rows = known.transpose(0, 1).flatten(1)
        away = (1 - torch.einsum("bchw,cn->bnhw", seen, rows).amax(1, keepdim=True)) / 2
        maps.append(harmonic_mean(away, scale))
    expected = sum(maps) / 3
    torch.testing.assert_close(detector.distance(detector._views(batch.image)), expected, rtol=1e-2, atol=1e-6)


def test_what_lies_in_the_padding_has_no_say_in_the_score(folder) -> None:
    detector, batch = trained(folder, "few"), image_batch(2, SIDE, SIDE, seed=50)
    outside = batch._replace(valid=batch.valid.clone())
    outside.valid[..., SIDE // 2 :] = False
    decoded = detector.decoded(outside)
    decoded.anomaly_maps[:, 1, :, 2:] += 10
    changed = detector.score(outside, decoded, outside.image[:, :1])
    torch.testing.assert_close(changed, detector(outside).score)


def test_the_shots_do_not_depend_on_how_images_come_in_batches(folder) -> None:
    one, other = trained(folder, "few"), untrained(folder, "few")
    other.remember([single(batch, index) for batch in reversed(HEALTHY) for index in range(4)])
    for mine, theirs in zip(one.memories, other.memories, strict=True):
        torch.testing.assert_close(mine.items, theirs.items)
    elsewhere = trained(folder, "few", seed=1)
    assert not torch.equal(one.memories[0].items, elsewhere.memories[0].items)


@kinds
def test_a_checkpoint_holds_nothing_of_clip_and_gives_the_same_verdicts(folder, kind) -> None:
    detector, other, batch = trained(folder, kind), untrained(folder, kind), image_batch(3, SIDE, SIDE, seed=50)
    checkpoint = {"state_dict": dict(detector.state_dict())}
    assert not [name for name in checkpoint["state_dict"] if "network" in name or "labels" in name]
    detector.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    assert torch.equal(other(batch).score, detector(batch).score)


def test_other_shots_or_another_clip_start_anew(folder, tmp_path) -> None:
    detector = trained(folder, "few")
    strange = str(write_tiny_clip(tmp_path / "other", seed=1))
    for other in (untrained(folder, "few", shots=2), untrained(strange, "few")):
        checkpoint = {"state_dict": dict(detector.state_dict())}
        detector.on_save_checkpoint(checkpoint)
        other.on_load_checkpoint(checkpoint)
        other.load_state_dict(checkpoint["state_dict"])
        assert not other.calibration.fitted
        assert not other.memories[0].filled


def test_shots_are_at_least_one_and_at_most_all(folder) -> None:
    with pytest.raises(ValueError, match="`shots` must be at least 1, got 0"):
        untrained(folder, "few", shots=0)
    with pytest.raises(ValueError, match="`shots` must be at most 12, the training images, got 13"):
        trained(folder, "few", shots=13)


def _pair() -> tuple[Tensor, Tensor]:
    image = torch.rand(3, 3, 40, 56, generator=seeded()) * 2 - 1
    return image, (image + 0.3 * torch.randn(image.shape, generator=seeded(1))).clamp(-1, 1)


@pytest.mark.parametrize("windows", [True, False])
def test_a_residual_is_zero_where_nothing_differs_and_depends_on_one_image_only(folder, windows) -> None:
    residual, (image, reconstruction) = CLIPResidual(CLIPNetwork(folder), windows), _pair()
    assert not residual(image, image).any()
    together = residual(image, reconstruction)
    assert together.shape == (3, 1, 40, 56)
    assert together.min() > 0
    alone = torch.cat([residual(image[index : index + 1], reconstruction[index : index + 1]) for index in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-6)
    maps = residual.maps(image, torch.stack([reconstruction, image], dim=1))
    torch.testing.assert_close(maps[:, :1], together)
    assert not maps[:, 1].any()


def test_a_residual_is_that_of_its_formula(folder) -> None:
    network, (image, reconstruction) = CLIPNetwork(folder, scales=[2]), _pair()
    pairs = zip((1, 2), *([network.patches(x), *network.windows(x)] for x in (image, reconstruction)), strict=True)
    maps = [overlap_mean((1 - F.cosine_similarity(x, y, dim=1))[:, None] / 2, scale) for scale, x, y in pairs]
    expected = F.interpolate(sum(maps) / 2, size=(40, 56), mode="bilinear")
    torch.testing.assert_close(CLIPResidual(network)(image, reconstruction), expected, rtol=1e-3, atol=1e-6)


def test_a_residual_leaves_no_trace_in_parameters_or_checkpoints(folder) -> None:
    scoring = Scoring([CLIPResidual(CLIPNetwork(folder))])
    assert not list(scoring.parameters())
    assert not scoring.state_dict()


def test_a_way_of_judging_is_told_by_weights_and_not_by_where_they_lie(folder, tmp_path) -> None:
    networks = [CLIPNetwork(str(write_tiny_clip(tmp_path / str(seed), seed))) for seed in (0, 1)]
    mine, same, other = (CLIPResidual(network).settings for network in (CLIPNetwork(folder), *networks))
    assert mine == same != other
    assert len(mine) < 200
