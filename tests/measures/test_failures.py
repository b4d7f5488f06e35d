import csv
import math
from dataclasses import replace

import pytest
import torch

from anomaly_diffusion.measures.failure_measures import MEASURES, as_csv, measured, places
from anomaly_diffusion.measures.failures import FAILURES, Worst, summary
from anomaly_diffusion.measures.mean_spectra import spectra_of
from anomaly_diffusion.types import ImageBatch, ImageResult, Prediction, Verdict

SIDE, MARGIN = 64, 8


def batch(defects=(False, True)):
    """Noise; a defective image has a bright square of 8 x 8 pixels."""
    count = len(defects)
    label, key = torch.tensor(defects), torch.arange(count)
    mask = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    mask[label, :, 20:28, 30:38] = True
    image = (0.2 * torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))).clamp(-0.9, 0.9)
    image[mask.expand_as(image)] = 0.8
    size = torch.full((count, 2), SIDE)
    return ImageBatch(
        image, mask, torch.ones_like(mask), label, key, key, size, [f"test/dent/{i}.png" for i in range(count)]
    )


def judged(images, reconstruction, anomaly_map=None):
    anomaly_map = (images.image - reconstruction).abs().mean(1, keepdim=True) if anomaly_map is None else anomaly_map
    return Prediction(
        images.image, reconstruction[:, None], anomaly_map, anomaly_map, anomaly_map.flatten(1).amax(1), nfe=1
    )


def rows_of(images, prediction, photographs=True):
    where = places(images, MARGIN)
    powers = spectra_of(images, prediction, where.normal) if photographs else None
    return measured(prediction, images, where, powers)


def of(result, *names):
    return tuple(map(result.number, names))


def healed(images):
    """What a perfect detector makes of an image: the defect is gone, and nothing else."""
    return torch.where(images.mask, torch.zeros(()), images.image)


def test_an_exact_copy_keeps_everything_and_hallucinates_nothing():
    images = batch()
    for row in rows_of(images, judged(images, images.image)):
        assert of(row, "retained_coarse", "retained_middle", "retained_fine") == (1, 1, 1)
        assert of(row, "gradient_ratio", "variance_ratio", "ssim") == (1, 1, 1)
        assert of(row, "cooccurrence", "hallucination", "energy_normal", "map_far") == (0, 0, 0, 0)
        assert row.number("psnr") == pytest.approx(106.02, abs=0.01)
    assert row.number("energy_contrast") == 0  # of the defect, which was copied as well


def test_a_perfect_detector_fails_in_no_way():
    images = batch()
    good, dent = rows_of(images, judged(images, healed(images)))
    assert of(dent, "retained_fine", "cooccurrence", "hallucination", "map_far") == (1, 0, 0, 0)
    assert dent.number("energy_contrast") > 60
    assert dent.number("energy_defect") == pytest.approx(0.4**2)
    assert dent.number("map_contrast") == pytest.approx(0.8)
    assert math.isnan(good.number("energy_contrast"))


def test_what_is_made_up_beside_a_defect_counts_as_its_halo_and_far_from_it_as_hallucination():
    images = batch()
    near, far = healed(images), healed(images)
    near[:, :, 20:28, 40:45] += 0.5  # within the margin of the defect
    far[:, :, 50:58, 50:58] += 0.5
    (_, beside), (_, away) = (rows_of(images, judged(images, reconstruction)) for reconstruction in (near, far))
    assert of(beside, "hallucination", "map_far") == (0, 0)
    assert away.number("hallucination") == pytest.approx(0.25, abs=0.01)
    assert away.number("map_far") == pytest.approx(0.5)


def test_a_defect_says_how_large_and_how_strong_it_is():
    images = batch()
    good, dent = rows_of(images, judged(images, healed(images)))
    assert dent.defect_share == pytest.approx(64 / SIDE**2)
    deviation = 0.2 / math.sqrt(3)  # of the mean of three channels
    assert dent.number("defect_contrast") == pytest.approx(0.8 / deviation, rel=0.15)
    assert good.defect_share == 0
    assert math.isnan(good.number("defect_contrast"))


def test_false_colours_have_maps_but_no_fidelity():
    images = batch()
    for row in rows_of(images, judged(images, healed(images)), photographs=False):
        assert all(map(math.isnan, of(row, "psnr", "retained_fine", "hallucination", "energy_normal")))
        assert row.number("map_far") == 0


def test_of_a_defect_without_a_mask_nobody_knows_what_is_normal():
    images = batch()
    unknown = images._replace(mask=torch.zeros_like(images.mask))
    _, row = rows_of(unknown, judged(images, healed(images)))
    assert all(math.isnan(row.number(name)) for name in MEASURES)
    assert row.defect_share == 0


def test_rows_do_not_depend_on_the_batch():
    images = batch()
    prediction = judged(images, 0.5 * healed(images))
    _, second = rows_of(images, prediction)
    keep = torch.tensor([False, True])
    (alone,) = rows_of(images.rows(keep), judged(images.rows(keep), 0.5 * healed(images)[1:]))
    for name in ("score", "defect_share", *MEASURES):
        assert alone.number(name) == pytest.approx(second.number(name), rel=1e-4), name


def test_the_codec_is_told_from_the_detector():
    images = batch()
    coded = 0.5 * images.image
    prediction = replace(judged(images, images.image), reference=coded, reconstruction=coded[:, None])
    powers = spectra_of(images, prediction, places(images, MARGIN).normal).over(~images.label)
    kept = powers.as_dict(["depth 1"])["retained"]
    assert kept["depth 1"]["fine"] == 1
    assert kept["codec alone"]["fine"] == pytest.approx(0.25, rel=1e-3)


def test_spectra_add_up_over_batches():
    images = batch((False, False, True, False))
    prediction = judged(images, 0.7 * images.image)
    powers = spectra_of(images, prediction, places(images, MARGIN).normal)
    first, rest = torch.arange(4) < 1, (torch.arange(4) >= 1) & ~images.label
    whole, parts = powers.over(~images.label), powers.over(first) + powers.over(rest)
    assert whole.count == parts.count == 3
    torch.testing.assert_close(whole.total, parts.total)


SPOILT = {
    "over_smoothing": lambda image, mask: torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False),
    "texture_loss": lambda image, mask: 0.2 * image,
    "identity_loss": lambda image, mask: image.flip(3),
    "hallucination": lambda image, mask: image + 0.3 * (torch.arange(SIDE) > 54),
    "copied_defect": lambda image, mask: image + 0.01,
    "missed_defect": lambda image, mask: image + 0.01,
    "false_alarm": lambda image, mask: image + 0.3 * (torch.arange(SIDE) > 54),
}


def judged_by(row, right):
    """The same, called what it is or the contrary."""
    return replace(row, verdict=Verdict(0.5, 1.0, bool(row.label) == right, in_place=bool(row.label) and right))


@pytest.mark.parametrize(
    ("name", "measures"),
    [
        ("over_smoothing", {"retained_fine": 1.18}),
        ("over_smoothing", {"retained_fine": 0.6}),
        ("texture_loss", {"cooccurrence": 0.4}),
        ("identity_loss", {"ssim": 0.6}),
        ("hallucination", {"hallucination": 0.09}),
        ("copied_defect", {"energy_contrast": 6.0}),
        ("missed_defect", {"map_contrast": -3.0}),
        ("false_alarm", {"map_far": 30.0}),
    ],
)
def test_what_went_well_enough_is_no_failure(name, measures):
    (failure,) = [failure for failure in FAILURES if failure.name == name]
    label = int("defect" in name)
    result = judged_by(ImageResult("a.png", label, "", 0.1 * label, 5.0, measures=measures), right=True)
    assert math.isnan(failure.severity(result))
    assert failure.counted([result]) == (0, 1)


@pytest.mark.parametrize("name", ["missed_defect", "false_alarm"])
def test_without_a_limit_nobody_knows_what_was_missed_or_a_false_alarm(name):
    (failure,) = [failure for failure in FAILURES if failure.name == name]
    images = batch()
    assert failure.counted(rows_of(images, judged(images, images.image))) == (0, 0)


def test_a_defect_that_is_found_elsewhere_is_missed_too():
    (failure,) = [failure for failure in FAILURES if failure.name == "missed_defect"]
    found = ImageResult("a.png", 1, "dent", 0.1, 5.0, measures={"map_contrast": 2.0})
    assert failure.severity(replace(found, verdict=Verdict(0.1, 1.0, True, in_place=False))) == -2.0


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_each_failure_is_worse_where_it_happens_than_where_it_does_not(failure):
    images = batch()
    perfect = rows_of(images, judged(images, healed(images)))
    failed = rows_of(images, judged(images, SPOILT[failure.name](images.image, images.mask)))
    failed, perfect = ([judged_by(row, right) for row in rows] for rows, right in ((failed, False), (perfect, True)))
    pairs = [(failure.severity(bad), failure.badness(good)) for bad, good in zip(failed, perfect, strict=True)]
    known = [pair for pair in pairs if not math.isnan(pair[0])]
    assert known
    assert all(bad > good + 0.05 for bad, good in known)
    assert all(failure.verdict(row) for row in failed)
    assert failure.counted(perfect)[0] == 0
    assert failure.counted(failed) == (len(known), failure.counted(perfect)[1])


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_each_failure_has_a_definition(failure):
    assert "severity =" in (type(failure).__doc__ or "")
    assert failure.title.startswith(failure.name.split("_")[0])


def test_the_worst_are_kept_whatever_the_order_and_made_only_if_kept():
    made = []
    for order in (range(20), reversed(range(20))):
        worst = Worst(3)
        for severity in order:
            worst.offer(float(severity), f"{severity:02d}", lambda s=severity: made.append(s) or s)
        worst.offer(math.nan, "unknown", pytest.fail)
        assert [item for _, _, item in worst.kept()] == [19, 18, 17]
    assert len(made) == 20 + 3


def test_equal_cases_are_chosen_by_name_and_need_no_order_of_their_own():
    worst = Worst(2)
    for name in ("b", "c", "a", "c"):
        worst.offer(1.0, name, lambda: torch.zeros(2))
    assert [name for _, name, _ in worst.kept()] == ["c", "b"] or [name for _, name, _ in worst.kept()] == ["c", "c"]


def test_no_case_at_all_is_refused():
    with pytest.raises(ValueError, match="`worst` must be at least 1, got 0"):
        Worst(0)


def test_the_summary_tells_normal_images_from_defective_ones_and_leaves_out_the_unknown():
    images = batch((False, False, True))
    rows = rows_of(images, judged(images, 0.5 * images.image))
    found = summary(rows)
    assert (found["normal"]["count"], found["defective"]["count"]) == (2, 1)
    assert found["normal"]["retained_fine"]["mean"] == pytest.approx(0.25, rel=1e-3)
    assert found["normal"]["energy_contrast"] is None
    assert summary([])["normal"]["psnr"] is None


def test_the_table_has_empty_cells_where_there_is_no_answer():
    images = batch()
    good, dent = csv.DictReader(as_csv(rows_of(images, judged(images, healed(images)))).splitlines())
    assert good["energy_contrast"] == good["defect_contrast"] == ""
    assert float(dent["map_contrast"]) == pytest.approx(0.8)
