import io

import cv2
import numpy as np
import torch

from anomaly_diffusion.callbacks import image_files
from anomaly_diffusion.callbacks.region_mask import region_mask
from anomaly_diffusion.types import AnomalousRegion, Verdict


def test_npy_returns_the_same_numbers():
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(np.load(io.BytesIO(image_files.npy(values))), values)


def test_tiff_returns_the_same_numbers_within_half_a_step():
    values = np.random.default_rng(0).normal(0, 4, size=(5, 7))
    stored = cv2.imdecode(np.frombuffer(image_files.tiff(values), np.uint8), cv2.IMREAD_UNCHANGED)
    note = image_files.scale_note()
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(stored * note["scale"] + note["offset"], values, atol=note["scale"] / 2 + 1e-9)


def test_tiff_clips_and_never_wraps_around():
    stored = cv2.imdecode(np.frombuffer(image_files.tiff(np.array([[-1e9, 1e9]])), np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.tolist() == [[0, 65535]]


def test_a_letterboxed_map_comes_back_without_its_padding():
    valid = torch.zeros(1, 8, 8, dtype=torch.bool)
    valid[:, 2:6] = True
    inside = torch.where(valid, 1.0, 100.0)
    restored = image_files.at_original_size(inside, valid, (40, 80))
    torch.testing.assert_close(restored, torch.ones(1, 40, 80))


def test_a_resized_map_keeps_its_peak_where_it_was():
    values = torch.zeros(1, 8, 8)
    values[0, 2, 5] = 1
    restored = image_files.at_original_size(values, torch.ones(1, 8, 8, dtype=torch.bool), (80, 160))[0]
    row, column = divmod(int(restored.argmax()), 160)
    assert 20 <= row < 30
    assert 100 <= column < 120


def test_a_mask_holds_what_exceeds_the_cut_inside_the_boxes_of_the_verdict():
    values = np.zeros((20, 40))
    values[4:8, 10:16] = values[15, 30] = 5.0  # one region of the verdict, and a pixel of none
    values[5, 12] = 1.0
    said = Verdict(0.1, 1.0, True, regions=(AnomalousRegion(9, 3, 8, 6, 23, 5.0, 60.0),))
    mask = cv2.imdecode(np.frombuffer(region_mask(values, 2.0, said), np.uint8), cv2.IMREAD_UNCHANGED)
    expected = values > 2.0
    expected[15, 30] = False
    np.testing.assert_array_equal(mask, expected * 255)
