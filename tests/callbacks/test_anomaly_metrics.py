import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from toy_detector import ToyDetector, ToyImages, trainer

from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
from anomaly_diffusion.measures.controls import Normals, blurred_self, statistics

TRAIN, VALIDATION, TEST = ToyImages(30, normal_only=True), ToyImages(12, seed=1), ToyImages(24, seed=2)
EVERYTHING = list(range(len(TEST)))


def measured(folder, images=TEST, batch_size=5, metrics=None):
    """A detector and its metrics after training, validation and test."""
    metrics, detector = metrics or AnomalyMetrics(), ToyDetector()
    run = trainer(folder, metrics)
    run.fit(detector, TRAIN.loader(), VALIDATION.loader())
    run.test(detector, images.loader(batch_size), verbose=False)
    return run, detector, metrics


def auroc(label, score):
    return pytest.approx(roc_auc_score(label.flatten().numpy(), score.flatten().numpy()), abs=1e-5)


def test_logged_figures_equal_scikit_learn_on_all_predictions_at_once(tmp_path):
    run, detector, _ = measured(tmp_path)
    everything = TEST.batch(EVERYTHING)
    verdict = detector.judge(everything)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert logged["test/image_auroc"] == auroc(everything.label, verdict.score)
    assert logged["test/pixel_auroc"] == auroc(everything.mask, verdict.anomaly_map)
    expected = average_precision_score(everything.mask.flatten(), verdict.anomaly_map.flatten())
    assert logged["test/pixel_ap"] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("batch_size", [7, *(pytest.param(size, marks=pytest.mark.soak) for size in (1, 24))])
def test_figures_do_not_depend_on_the_batch_size(tmp_path, batch_size):
    reference = measured(tmp_path)[2].shared.figures["test"]
    figures = measured(tmp_path, batch_size=batch_size)[2].shared.figures["test"]
    for name, expected in reference.items():
        assert figures[name] == pytest.approx(expected, abs=1e-6), name


def test_controls_equal_scikit_learn_with_normals_from_training_only(tmp_path):
    figures = measured(tmp_path)[2].shared.figures["test"]
    everything, normals = TEST.batch(EVERYTHING), Normals.of(TRAIN.batch(list(range(len(TRAIN)))))
    distance = normals.distance(statistics(everything.image, everything.valid))
    for place, name in enumerate(("brightness", "contrast", "sharpness")):
        assert figures[name]["image_auroc"] == auroc(everything.label, distance[:, place]), name
    assert figures["brightness_raw"]["image_auroc"] == auroc(everything.label, everything.image.mean((1, 2, 3)))
    blurred = blurred_self(everything.image, everything.valid)
    assert figures["blurred_self"]["pixel_auroc"] == auroc(everything.mask, blurred)
    mean = (everything.image - TRAIN.image.mean(0)).abs().mean(1, keepdim=True)
    assert figures["mean_image"]["pixel_auroc"] == auroc(everything.mask, mean)


def test_the_controls_stop_learning_after_the_images_they_asked_for(tmp_path):
    metrics = measured(tmp_path, metrics=AnomalyMetrics(normals=10))[2]
    assert metrics.state_dict()["normals"]["count"] == 10


def test_the_score_of_largest_f1_is_that_of_validation(tmp_path):
    _, detector, metrics = measured(tmp_path)
    verdict = detector.judge(VALIDATION.batch(list(range(len(VALIDATION)))))
    label = VALIDATION.label

    def f1(threshold):
        found = verdict.score >= threshold - 1e-6
        return 2 * (found & label).sum() / (found.sum() + label.sum())

    largest = max(f1(score) for score in verdict.score)
    assert f1(metrics.shared.figures["val"]["model"]["image_f1_threshold"]) == pytest.approx(largest)
    assert "image_f1_threshold" not in metrics.shared.figures["test"]["model"]


def test_a_test_from_a_checkpoint_knows_the_normals_and_its_validation(tmp_path):
    run, _, metrics = measured(tmp_path)
    run.save_checkpoint(tmp_path / "run.ckpt")
    fresh = AnomalyMetrics()
    trainer(tmp_path, fresh).test(ToyDetector(), TEST.loader(), ckpt_path=tmp_path / "run.ckpt", verbose=False)
    assert fresh.shared.figures == metrics.shared.figures


def test_without_training_images_the_controls_that_need_them_are_left_out(tmp_path):
    metrics = AnomalyMetrics()
    trainer(tmp_path, metrics).test(ToyDetector(), TEST.loader(), verbose=False)
    assert set(metrics.shared.figures["test"]) == {"model", "blurred_self", "brightness_raw"}


def test_pixels_of_defects_without_a_mask_are_not_counted_as_normal(tmp_path):
    unknown = ToyImages(24, seed=2)
    unknown.mask[13:] = False
    figures = measured(tmp_path, unknown)[2].shared.figures["test"]
    known = [index for index in EVERYTHING if index < 13 or not TEST.label[index]]
    batch = unknown.batch(known)
    blurred = blurred_self(batch.image, batch.valid)
    assert figures["blurred_self"]["pixel_auroc"] == auroc(batch.mask, blurred)
    assert figures["brightness_raw"]["image_auroc"] == auroc(TEST.label, TEST.image.mean((1, 2, 3)))


def test_too_few_normals_are_refused():
    with pytest.raises(ValueError, match="`normals` must be at least 2, got 1"):
        AnomalyMetrics(normals=1)


def test_later_validations_keep_the_controls_of_the_first_that_knew_enough(tmp_path):
    short, long = (AnomalyMetrics(normals=10), ToyDetector()), (AnomalyMetrics(normals=10), ToyDetector())
    for epochs, (metrics, detector) in ((1, short), (3, long)):
        trainer(tmp_path, metrics, epochs=epochs).fit(detector, TRAIN.loader(), VALIDATION.loader())
    first, last = short[0].shared.figures["val"], long[0].shared.figures["val"]
    assert list(first) == list(last)
    assert {name: first[name] for name in list(first)[1:]} == {name: last[name] for name in list(last)[1:]}
