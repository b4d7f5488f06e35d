import csv

import pytest
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.depth_curve import DepthCurve
from anomaly_diffusion.callbacks.painted_defects import PaintedDefects
from anomaly_diffusion.metrics.anomaly import ImageMetrics, PixelMetrics

TEST = ToyImages(24, seed=2)


class OneDepth(ToyDetector):
    depths = (0.5,)


class Blind(ToyDetector):
    """Sees nothing at the shallower of its depths."""

    def judge(self, batch):
        prediction = super().judge(batch)
        prediction.depth_maps[:, 0] = 0
        return prediction


def lines(folder):
    with (folder / "depths.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_depth_has_the_figures_of_its_own_maps(tmp_path):
    trainer(tmp_path, DepthCurve()).test(Blind(), TEST.loader(), verbose=False)
    batch = TEST.batch(list(range(24)))
    expected = Blind().judge(batch).depth_maps[:, 1, None]
    pixel, image = PixelMetrics(), ImageMetrics()
    pixel.update(expected, batch.mask, batch.valid)
    image.update(expected.flatten(1).amax(1), batch.label)
    shallow, deep = lines(tmp_path)
    assert float(shallow["pixel_auroc"]) == pytest.approx(0.5)
    assert float(deep["pixel_ap"]) == pytest.approx(pixel.compute().ap)
    assert float(deep["image_auroc"]) == pytest.approx(image.compute().auroc)


def test_the_figures_do_not_depend_on_the_batch_size(tmp_path):
    for size in (1, 7):
        trainer(tmp_path / str(size), DepthCurve()).test(ToyDetector(), TEST.loader(size), verbose=False)
    one, seven = lines(tmp_path / "1"), lines(tmp_path / "7")
    for first, second in zip(one, seven, strict=True):
        assert {k: float(v) for k, v in first.items()} == pytest.approx({k: float(v) for k, v in second.items()})


def test_fidelity_is_measured_on_normal_images_only(tmp_path):
    trainer(tmp_path / "all", DepthCurve()).test(ToyDetector(), TEST.loader(), verbose=False)
    spoilt = ToyImages(24, seed=2)
    spoilt.image[spoilt.label] += 0.3
    trainer(tmp_path / "spoilt", DepthCurve()).test(ToyDetector(), spoilt.loader(), verbose=False)
    for first, second in zip(lines(tmp_path / "all"), lines(tmp_path / "spoilt"), strict=True):
        assert first["psnr"] == second["psnr"]
        assert first["pixel_auroc"] != second["pixel_auroc"]


def test_the_robust_interval_is_printed_and_drawn(tmp_path, capsys):
    trainer(tmp_path, DepthCurve()).test(Blind(), TEST.loader(), verbose=False)
    assert "within a point of its best at depths" in capsys.readouterr().out
    assert (tmp_path / "depths.png").read_bytes().startswith(b"\x89PNG")


def test_one_depth_alone_makes_no_curve(tmp_path):
    trainer(tmp_path, DepthCurve()).test(OneDepth(), TEST.loader(), verbose=False)
    assert not (tmp_path / "depths.csv").exists()


def test_a_test_set_without_normal_images_has_no_fidelity_and_no_warning(tmp_path):
    defects = ToyImages(24, seed=2)
    defects.label[:] = True
    trainer(tmp_path, DepthCurve()).test(ToyDetector(), defects.loader(), verbose=False)
    assert {row["psnr"] for row in lines(tmp_path)} == {"nan"}


def test_beside_each_depth_stands_what_defects_of_the_validation_say_of_it(tmp_path):
    fitted = trainer(tmp_path, DepthCurve(), PaintedDefects(), enable_checkpointing=True)
    detector, seen = Blind(), ToyImages(8, seed=3)
    fitted.fit(detector, seen.loader(), seen.loader())
    fitted.test(detector, TEST.loader(), ckpt_path="best", verbose=False)
    told = [float(row["val_pixel_ap"]) for row in lines(tmp_path)]
    own = seen.mask[seen.label].float().mean((1, 2, 3))
    assert told[0] == pytest.approx(float(own.mean()))  # a map of one value is right as often as the defect is there
    assert told[1] > 3 * told[0]
