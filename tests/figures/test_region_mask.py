import cv2
import numpy as np

from anomaly_diffusion.figures.region_mask import region_mask
from anomaly_diffusion.types import AnomalousRegion, Verdict


def test_a_mask_holds_what_exceeds_the_cut_inside_the_boxes_of_the_verdict():
    values = np.zeros((20, 40))
    values[4:8, 10:16] = values[15, 30] = 5.0  # one region of the verdict, and a pixel of none
    values[5, 12] = 1.0
    said = Verdict(0.1, 1.0, True, regions=(AnomalousRegion(9, 3, 8, 6, 23, 5.0, 60.0),))
    mask = cv2.imdecode(np.frombuffer(region_mask(values, 2.0, said), np.uint8), cv2.IMREAD_UNCHANGED)
    expected = values > 2.0
    expected[15, 30] = False
    np.testing.assert_array_equal(mask, expected * 255)
