"""Pictures of large photographs are small enough to be kept, and what stands out on them stays."""

import torch
from analytic import image_batch

from anomaly_diffusion.figures import result_pictures as pictures
from anomaly_diffusion.types import Prediction, Tiling


def drawn(tiles):
    batch = image_batch(1, 90, 130)._replace(tiles=tiles)
    batch.mask[0, 0, 41, 77] = True
    anomaly_map = torch.zeros(1, 1, 90, 130)
    anomaly_map[0, 0, 41, 77] = 9.0
    prediction = Prediction(batch.image, batch.image[:, None], anomaly_map, anomaly_map, torch.ones(1), 1)
    return pictures.result_pictures(prediction, batch, 0)


def test_a_photograph_with_tiles_is_shrunk_with_its_largest_values(monkeypatch):
    monkeypatch.setattr(pictures, "_LONGEST", 50)
    found = drawn(Tiling(64, 64, 32))
    shapes = {part.shape[:2] for part in (found.image, found.reference, found.mask, found.anomaly_map)}
    assert shapes == {(30, 43)}  # without padding
    assert found.peak == (77 // 3, 41 // 3)
    assert found.anomaly_map.max() == 9
    assert found.mask.sum() == found.mask[41 // 3, 77 // 3] == 1


def test_frames_are_shown_as_they_are(monkeypatch):
    monkeypatch.setattr(pictures, "_LONGEST", 50)
    assert drawn(None).anomaly_map.shape == (90, 129)
    monkeypatch.setattr(pictures, "_LONGEST", 200)
    assert drawn(Tiling(64, 64, 32)).anomaly_map.shape == (90, 129)
