"""The chart of what size is found: it draws every family, also one that nothing is known of."""

import cv2
import numpy as np
from scipy import special

from anomaly_diffusion.figures.detection_chart import detection_chart
from anomaly_diffusion.runs.detection_limit import DetectionLimit, FamilyLimit, SizedDefect
from anomaly_diffusion.verdicts.detection import DetectionCurve

WIDTHS, CONTRASTS = np.geomspace(0.012, 0.08, 6).tolist(), np.geomspace(1, 6, 5).tolist()


def drawn(family, a50, seed=0):
    rng = np.random.default_rng(seed)
    width, cnr = np.repeat(WIDTHS, 20), np.tile(CONTRASTS, 24)
    found = rng.random(120) < special.expit(3 * np.log(width / a50))
    defects = [SizedDefect("a.png", *map(float, pair), bool(hit)) for *pair, hit in zip(width, cnr, found, strict=True)]
    return FamilyLimit(family, defects, DetectionCurve(width, found).as_dict())


def limit(*families, real=()):
    return DetectionLimit(0.05, WIDTHS, CONTRASTS, families, real)


def picture(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)


def test_each_family_has_a_column():
    one = picture(detection_chart(limit(drawn("crack", 0.02))))
    two = picture(detection_chart(limit(drawn("crack", 0.02), drawn("pit", 0.04, seed=1))))
    assert one.shape[0] == two.shape[0]
    assert two.shape[1] > one.shape[1] + 200


def test_a_family_without_a_curve_or_without_defects_is_drawn():
    defects = [SizedDefect("a.png", width, 2.0, False) for width in WIDTHS]
    known = limit(FamilyLimit("stain", defects, why="none was found"), FamilyLimit("missing part", [], why="none"))
    assert picture(detection_chart(known)).std() > 0


def test_real_defects_leave_ticks():
    without = picture(detection_chart(limit(drawn("crack", 0.02))))
    real = [SizedDefect("b.png", 0.03, 2.0), SizedDefect("c.png", 0.05, 3.0)]
    assert (picture(detection_chart(limit(drawn("crack", 0.02), real=real))) != without).any()
