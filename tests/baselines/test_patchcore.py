import copy
import math
from dataclasses import replace

import pytest
import torch
from analytic import TinyFeatures, image_batch, single

from anomaly_diffusion.baselines.patchcore import PatchCore
from anomaly_diffusion.scoring.memory import Memory
from anomaly_diffusion.scoring.pooling import MaxPooling
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.types import Decoded

SIDE = 32
HEALTHY = [image_batch(4, SIDE, SIDE, seed=seed) for seed in range(3)]
HEALTHY = [batch._replace(key=batch.key + 7 * number) for number, batch in enumerate(HEALTHY)]


def untrained(share: float = 0.3, neighbours: int = 4, smoothing: float = 0.0) -> PatchCore:
    scoring = Scoring(smoothing=smoothing, pooling=MaxPooling())
    return PatchCore(TinyFeatures(), Memory(share=share), scoring, neighbours=neighbours).eval()


def trained(**options: float) -> PatchCore:
    detector = untrained(**options)
    detector.codec.fit(sum(detector.codec.moments(batch.image) for batch in HEALTHY))
    detector.remember(HEALTHY)
    detector.calibrate([image_batch(6, SIDE, SIDE, seed=100)])
    return detector


def test_a_score_is_that_of_equation_7_computed_by_hand() -> None:
    detector, batch = untrained(neighbours=3), image_batch(1, SIDE, SIDE)
    detector.memory.items = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    batch = batch._replace(valid=torch.ones_like(batch.valid))
    x_0 = torch.zeros(1, 2, 1, 2)
    x_0[0, :, 0, 1] = torch.tensor([-3.0, 0.0])  # 3 from its nearest item (0, 0), near which are (1, 0) and (0, 2)
    found = detector.restore(batch, x_0)
    assert found.anomaly_maps.tolist() == [[[[0.0, 3.0]]]]
    weight = 1 - math.exp(3) / (math.exp(3) + math.exp(4) + math.exp(math.sqrt(13)))
    score = detector.score(batch, Decoded(x_0, found.x_0, 0, found.anomaly_maps), torch.zeros(1, 1, SIDE, SIDE))
    assert score.item() == pytest.approx(3 * weight, rel=1e-5)


def test_a_position_in_the_padding_has_no_say() -> None:
    detector, batch = trained(), image_batch(2, SIDE, SIDE, seed=50)
    x_0 = detector.codec.encode(batch.image)
    found = detector.restore(batch, x_0)
    outside = batch._replace(valid=batch.valid.clone())
    outside.valid[..., SIDE // 2 :] = False
    decoded = Decoded(x_0, found.x_0, 0, found.anomaly_maps)
    wild = replace(decoded, anomaly_maps=found.anomaly_maps.clone())
    wild.anomaly_maps[..., 4:] += 100
    scores = [detector.score(outside, one, torch.zeros(2, 1, SIDE, SIDE)) for one in (decoded, wild)]
    assert torch.equal(*scores)


def test_what_is_remembered_in_full_has_no_distance() -> None:
    detector = trained(share=1.0)
    distance = detector.decoded(HEALTHY[1]).anomaly_maps
    assert distance.max() < 1e-5
    assert trained(share=0.1).decoded(HEALTHY[1]).anomaly_maps.max() > 1e-3


def test_a_healthy_version_is_made_of_items_and_the_distance_is_to_them() -> None:
    detector, batch = trained(), image_batch(2, SIDE, SIDE, seed=50)
    decoded = detector.decoded(batch)
    shown = decoded.reconstruction[:, 0].flatten(2).transpose(1, 2).flatten(0, 1)
    assert (torch.cdist(shown, detector.memory.items, compute_mode="donot_use_mm_for_euclid_dist").amin(1) == 0).all()
    torch.testing.assert_close(
        (decoded.reference - decoded.reconstruction[:, 0]).norm(dim=1), decoded.anomaly_maps[:, 0]
    )
    assert detector(batch).reconstruction.shape == (2, 1, 3, SIDE, SIDE)


@pytest.mark.parametrize("neighbours", [0, 4])
def test_a_score_depends_on_one_image_only(neighbours) -> None:
    detector, batch = trained(neighbours=neighbours, smoothing=1.0), image_batch(5, SIDE, SIDE, seed=50)
    together = detector(batch)
    alone = [detector(single(batch, index)) for index in range(5)]
    torch.testing.assert_close(together.score, torch.cat([one.score for one in alone]), rtol=1e-4, atol=1e-4)
    maps = torch.cat([one.anomaly_map for one in alone])
    torch.testing.assert_close(together.anomaly_map, maps, rtol=1e-4, atol=1e-3)


def test_without_neighbours_the_map_is_pooled() -> None:
    detector, batch = trained(neighbours=0), image_batch(3, SIDE, SIDE, seed=50)
    verdict = detector(batch)
    assert torch.equal(verdict.score, MaxPooling()(verdict.anomaly_map, batch.valid))


def test_what_no_healthy_image_has_anywhere_scores_higher() -> None:
    detector, batch = trained(), image_batch(1, SIDE, SIDE, seed=50)
    spoiled = batch._replace(image=batch.image.clone())
    spoiled.image[..., 8:20, 8:20] = 1.0
    assert detector(spoiled).score > detector(batch).score


def test_the_memory_does_not_depend_on_how_images_come_in_batches() -> None:
    one, other = trained(), trained()
    other.remember([single(batch, index) for batch in reversed(HEALTHY) for index in range(4)])
    torch.testing.assert_close(other.memory.items, one.memory.items, rtol=1e-4, atol=1e-5)


def checkpoint_of(detector: PatchCore) -> dict:
    checkpoint = {"state_dict": copy.deepcopy(detector.state_dict())}
    detector.on_save_checkpoint(checkpoint)
    return checkpoint


def test_a_checkpoint_gives_the_same_verdicts() -> None:
    detector, other, batch = trained(), untrained(), image_batch(3, SIDE, SIDE, seed=50)
    checkpoint = checkpoint_of(detector)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    assert torch.equal(other(batch).score, detector(batch).score)


def test_a_memory_of_another_size_is_not_taken_from_a_checkpoint() -> None:
    checkpoint, other = checkpoint_of(trained(share=0.3)), untrained(share=0.2)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    assert other.codec.fitted
    assert not other.memory.filled
    assert not other.calibration.fitted


def test_settings_that_make_no_sense_are_refused() -> None:
    for neighbours in (1, -1):
        with pytest.raises(ValueError, match=f"`neighbours` must be at least 2, or 0 for no weight, got {neighbours}"):
            untrained(neighbours=neighbours)
    with pytest.raises(ValueError, match="`neighbours` must be at most 8, the patches in memory, got 9"):
        trained(share=0.01, neighbours=9)
