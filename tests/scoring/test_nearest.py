import pytest
import torch
from analytic import seeded

from anomaly_diffusion.scoring.nearest import NearestResidual

B, D, C, H, W = 6, 2, 3, 4, 5
REFERENCE = torch.randn(B, C, H, W, generator=seeded())
HEALTHY = REFERENCE[:, None] + torch.randn(B, D, C, H, W, generator=seeded(1))
VALID = torch.ones(B, 1, 8 * H, 8 * W, dtype=torch.bool)
KEYS = [3, 1, 4, 15, 9, 2]


def fitted(context: float = 0.3, rows: slice = slice(None), valid: torch.Tensor = VALID, **options) -> NearestResidual:
    residual = NearestResidual(context, **options)
    residual.fit(residual.moments(REFERENCE[rows], HEALTHY[rows], valid[rows], KEYS[rows]))
    return residual


@pytest.mark.parametrize("context", [0.0, 0.3, 2.0])
def test_a_distance_is_that_of_brute_force_at_every_depth(context) -> None:
    known, asked = slice(0, 4), slice(4, 6)
    maps = fitted(context, known).maps(REFERENCE[asked], HEALTHY[asked])
    for depth in range(D):
        reconstruction = HEALTHY[:, depth].double().movedim(1, -1)
        difference = REFERENCE.double().movedim(1, -1) - reconstruction
        away = torch.cdist(difference[asked].reshape(-1, C), difference[known].reshape(-1, C)).square()
        around = torch.cdist(reconstruction[asked].reshape(-1, C), reconstruction[known].reshape(-1, C)).square()
        expected = (away + context * around).sqrt().amin(1).reshape(2, H, W)
        torch.testing.assert_close(maps[:, depth].double(), expected, rtol=1e-4, atol=1e-4)


def test_what_is_remembered_is_no_anomaly() -> None:
    assert not fitted().maps(REFERENCE, HEALTHY).any()


def test_a_constant_reconstruction_leaves_the_distance_of_images_themselves() -> None:
    """PatchCore, whatever the context counts for."""
    constant = torch.zeros_like(HEALTHY)
    residual = NearestResidual(context=0.7)
    residual.fit(residual.moments(REFERENCE[:4], constant[:4], VALID[:4], KEYS[:4]))
    patches = REFERENCE.double().movedim(1, -1).reshape(B, -1, C)
    expected = torch.cdist(patches[4:].flatten(0, 1), patches[:4].flatten(0, 1)).amin(1).reshape(2, H, W)
    for maps in residual.maps(REFERENCE[4:], constant[4:]).unbind(1):
        torch.testing.assert_close(maps.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_same_is_remembered_of_any_split_and_order() -> None:
    residual = NearestResidual(candidates=50, at_most=20)
    parts = [
        residual.moments(REFERENCE[rows], HEALTHY[rows], VALID[rows], [KEYS[row] for row in rows])
        for rows in ([5, 2], [0, 1, 3], [4])
    ]
    residual.fit(parts[0] + parts[1] + parts[2])
    assert residual.items.shape == (D, 20, 2 * C)
    assert torch.equal(residual.items, fitted(candidates=50, at_most=20).items)
    assert not torch.equal(residual.items, fitted(candidates=50, at_most=20, seed=1).items)


def test_other_images_of_a_batch_change_no_bit() -> None:
    residual = fitted(rows=slice(0, 4))
    whole = residual.maps(REFERENCE, HEALTHY)
    alone = [residual.maps(REFERENCE[row : row + 1], HEALTHY[row : row + 1]) for row in range(B)]
    assert torch.equal(whole, torch.cat(alone))


def test_padding_is_not_remembered() -> None:
    valid = VALID.clone()
    valid[..., : 8 * 2] = False  # the first two columns of positions
    assert fitted(valid=valid).items.shape[1] == B * H * (W - 2)


def test_a_memory_of_any_size_survives_the_state_dict() -> None:
    fresh = NearestResidual()
    fresh.load_state_dict(fitted().state_dict())
    assert torch.equal(fresh.items, fitted().items)


def test_what_was_never_learnt_is_named() -> None:
    with pytest.raises(RuntimeError, match="has learnt nothing yet"):
        NearestResidual().maps(REFERENCE, HEALTHY)
    with pytest.raises(ValueError, match="2 depths are remembered, got 1"):
        fitted().maps(REFERENCE, HEALTHY[:, :1])
    with pytest.raises(ValueError, match="No normal image"):
        fitted(valid=torch.zeros_like(VALID))


@pytest.mark.parametrize(("name", "value"), [("context", -0.1), ("at_most", 0), ("candidates", 0)])
def test_a_number_outside_its_range_is_refused(name, value) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must"):
        NearestResidual(**{name: value})
