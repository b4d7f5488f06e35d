"""The measures of each image behind the failures: fidelity, spectra, texture, and how the map marks the defect."""

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple

import torch

from anomaly_diffusion.measures import fidelity, spectra, texture
from anomaly_diffusion.measures.mean_spectra import Spectra
from anomaly_diffusion.measures.windows import grown, mean_inside, window_mean
from anomaly_diffusion.types import ImageBatch, ImageResult, Images, Maps, Masks, Prediction, Scores

__all__ = ["COLUMNS", "MEASURES", "Places", "as_csv", "cells", "measured", "places"]

_FLOOR = 1e-10  # energy of pixels in [0, 1] that rounding alone makes


# name of each measure and what it is; the reconstruction is compared on normal pixels only: those far from any defect
MEASURES = {
    "defect_contrast": "brightness of the defect against that of its surroundings, in their standard deviations",
    "psnr": "in dB, of normal pixels, at most 106",
    "ssim": "of normal pixels of the grey image, at most 1",
    "retained_coarse": "power kept of periods above 16 pixels, 1 if all of it",
    "retained_middle": "power kept of periods of 8 to 16 pixels",
    "retained_fine": "power kept of periods below 8 pixels",
    "gradient_ratio": "mean gradient of the reconstruction over that of the reference",
    "variance_ratio": "mean local variance of the reconstruction over that of the reference",
    "cooccurrence": "distance of the co-occurrence matrices, 0 to 1",
    "energy_normal": "mean squared difference of normal pixels, pixels in [0, 1]",
    "energy_defect": "mean squared difference of defective pixels, pixels in [0, 1]",
    "energy_contrast": "energy_defect over energy_normal in dB; 0 if a defect stands out no more than anything else",
    "hallucination": "largest mean difference of a window of 7 pixels far from any defect, pixels in [0, 1]",
    "map_normal": "mean of the anomaly map over normal pixels, in standard deviations",
    "map_contrast": "mean of the map over defective pixels less that over normal ones, in standard deviations",
    "map_far": "largest value of the map far from any defect, in standard deviations",
}
COLUMNS = ("path", "label", "kind", "score", "defect_share", *MEASURES)


class Places(NamedTuple):
    """Where something is.

    Attributes:
        normal: pixels of the photograph farther from any defect than a margin; none if nobody knows where it is.
        defect: pixels of the defect.
        ring: pixels of the photograph around the defect, within the margin.
    """

    normal: Masks
    defect: Masks
    ring: Masks


def places(batch: ImageBatch, margin: int) -> Places:
    """Where the defects of a batch are, and where for certain none is; `margin` in pixels along rows and columns."""
    defect = batch.mask & batch.valid
    near = grown(defect, margin)
    known = ~batch.label | defect.flatten(1).any(1)
    return Places(batch.valid & ~near & known[:, None, None, None], defect, near & batch.valid & ~defect)


def measured(
    prediction: Prediction, batch: ImageBatch, where: Places, powers: Spectra | None, depth: int = 0
) -> list[ImageResult]:
    """The result of each image of a batch with all `MEASURES`; NaN where a question has no answer.

    Of a defective image without a mask nobody knows the normal pixels, and false colours have no fidelity. What is only
    in `per_image.csv`, statistics of the map and time, is left NaN.

    Args:
        prediction: the verdict on the batch.
        batch: the images.
        where: their `places`.
        powers: their spectra; None if pictures are false colours, which leaves out all that looks at pictures.
        depth: index of the depth that is looked at.
    """
    unknown = torch.full_like(prediction.score, torch.nan)
    columns: dict[str, Scores] = dict.fromkeys(MEASURES, unknown) | _of_maps(prediction.anomaly_map.float(), where)
    columns["defect_contrast"] = _defect_contrast(batch.image.float(), where)
    if powers is not None:
        columns |= _of_pictures(prediction.reference.float(), prediction.reconstruction[:, depth].float(), where)
        kept = spectra.retained(powers.reference, powers.reconstruction[:, depth])
        known = where.normal.flatten(1).any(1, keepdim=True)
        kept = kept.where(known, torch.nan)
        columns |= {f"retained_{band}": kept[:, place] for place, band in enumerate(spectra.BANDS)}
    values = zip(*(columns[name].tolist() for name in MEASURES), strict=True)
    shares = mean_inside(where.defect.float(), batch.valid).tolist()
    told = zip(batch.path, batch.label.tolist(), batch.kinds, shares, prediction.score.tolist(), values, strict=True)
    return [
        ImageResult(path, int(label), kind, share, score, measures=dict(zip(MEASURES, numbers, strict=True)))
        for path, label, kind, share, score, numbers in told
    ]


def cells(result: ImageResult) -> list[object]:
    """The values of a line of `failures.csv`, in the order of `COLUMNS`."""
    return [getattr(result, name) for name in COLUMNS[:5]] + [result.number(name) for name in MEASURES]


def as_csv(results: Iterable[ImageResult]) -> str:
    """The results under their column names; empty cells where a question has no answer."""
    table = io.StringIO(newline="")
    lines = [["" if value != value else value for value in cells(result)] for result in results]
    csv.writer(table).writerows([COLUMNS, *lines])
    return table.getvalue()


def _of_pictures(reference: Images, reconstruction: Images, where: Places) -> dict[str, Scores]:
    normal = where.normal
    difference = (reconstruction - reference).abs().div_(2)
    energy = difference.square().mean(1, keepdim=True)
    grey, other = (pictures.mean(1, keepdim=True) for pictures in (reference, reconstruction))
    theirs, mine = (texture.texture_statistics(pictures, normal) for pictures in (grey, other))
    in_normal, in_defect = mean_inside(energy, normal), mean_inside(energy, where.defect)
    found = {
        "ssim": fidelity.ssim(grey, other, normal),
        "gradient_ratio": (mine.gradient + 1e-6) / (theirs.gradient + 1e-6),
        "variance_ratio": (mine.variance + 1e-9) / (theirs.variance + 1e-9),
        "cooccurrence": texture.cooccurrence_distance(grey, other, normal),
    }
    known = normal.flatten(1).any(1)
    return {name: column.where(known, torch.nan) for name, column in found.items()} | {
        "psnr": -10 * in_normal.clamp(min=_FLOOR / 4).log10(),
        "energy_normal": in_normal,
        "energy_defect": in_defect,
        "energy_contrast": 10 * ((in_defect + _FLOOR) / (in_normal + _FLOOR)).log10(),
        "hallucination": _largest(window_mean(difference.mean(1, keepdim=True) * normal), normal),
    }


def _of_maps(anomaly_map: Maps, where: Places) -> dict[str, Scores]:
    of_normal = mean_inside(anomaly_map, where.normal)
    return {
        "map_normal": of_normal,
        "map_contrast": mean_inside(anomaly_map, where.defect) - of_normal,
        "map_far": _largest(anomaly_map, where.normal),
    }


def _defect_contrast(image: Images, where: Places) -> Scores:
    grey = image.mean(1, keepdim=True)
    around = mean_inside(grey, where.ring)
    std = mean_inside((grey - around[:, None, None, None]).square(), where.ring).sqrt()
    return (mean_inside(grey, where.defect) - around).abs() / std.clamp(min=1 / 255)


def _largest(x: Maps, inside: Masks) -> Scores:
    """Largest value inside; NaN without any."""
    largest = x.masked_fill(~inside, -torch.inf).flatten(1).amax(1)
    return largest.masked_fill(largest == -torch.inf, torch.nan)
