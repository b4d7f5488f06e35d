"""How each image fares on its way through a detector: the numbers behind the failures."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

import torch

from anomaly_diffusion.measures import fidelity, spectra, texture
from anomaly_diffusion.measures.mean_spectra import Spectra
from anomaly_diffusion.measures.windows import grown, mean_inside, window_mean
from anomaly_diffusion.types import ImageBatch, Images, Maps, Masks, Prediction, Scores

__all__ = ["COLUMNS", "FailureRow", "Places", "as_csv", "failure_rows", "from_line", "places"]

_FLOOR = 1e-10  # energy of pixels in [0, 1] that rounding alone makes


@dataclass(frozen=True)
class FailureRow:
    """What goes well and wrong with one image; NaN where a question has no answer.

    The reconstruction is compared on normal pixels only: those far from any defect. Of a defective image without a
    mask nobody knows them, and false colours have no fidelity: there all of that is NaN.

    Args:
        path: relative to the root of the data set.
        label: 1 for a defective image.
        kind: "good", or the folder of a defective image.
        score: image anomaly score.
        defect_share: defective pixels among those of the photograph; 0 without a mask.
        defect_contrast: mean brightness of the defect against that of its surroundings, in their standard deviations.
        psnr: in dB, of normal pixels, at most 106.
        ssim: of normal pixels of the grey image, at most 1.
        retained_coarse: power kept of periods above 16 pixels, 1 if all of it.
        retained_middle: of periods of 8 to 16 pixels.
        retained_fine: of periods below 8 pixels.
        gradient_ratio: mean gradient of the reconstruction over that of the reference.
        variance_ratio: mean local variance, likewise.
        cooccurrence: distance of the co-occurrence matrices, 0 to 1.
        energy_normal: mean squared difference of normal pixels, pixels in [0, 1].
        energy_defect: that of defective pixels.
        energy_contrast: the second over the first, in dB; 0 if a defect stands out no more than anything else.
        hallucination: largest difference of a window of 7 pixels far from any defect, pixels in [0, 1].
        map_normal: mean of the anomaly map over normal pixels, in standard deviations, as are the next two.
        map_contrast: its mean over defective pixels less that over normal ones.
        map_far: its largest value far from any defect.
    """

    path: str
    label: int
    kind: str
    score: float
    defect_share: float
    defect_contrast: float
    psnr: float
    ssim: float
    retained_coarse: float
    retained_middle: float
    retained_fine: float
    gradient_ratio: float
    variance_ratio: float
    cooccurrence: float
    energy_normal: float
    energy_defect: float
    energy_contrast: float
    hallucination: float
    map_normal: float
    map_contrast: float
    map_far: float


COLUMNS = tuple(field.name for field in fields(FailureRow))
_MEASURED = COLUMNS[COLUMNS.index("score") :]


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


def failure_rows(
    prediction: Prediction, batch: ImageBatch, where: Places, powers: Spectra | None, depth: int = 0
) -> list[FailureRow]:
    """One row for each image of a batch.

    Args:
        prediction: the verdict on the batch.
        batch: the images.
        where: their `places`.
        powers: their spectra; None if pictures are false colours, which leaves out all that looks at pictures.
        depth: which of the depths is looked at.
    """
    unknown = torch.full_like(prediction.score, torch.nan)
    columns: dict[str, Scores] = dict.fromkeys(_MEASURED, unknown) | _of_maps(prediction.anomaly_map.float(), where)
    columns["score"], columns["defect_contrast"] = prediction.score, _defect_contrast(batch.image.float(), where)
    columns["defect_share"] = mean_inside(where.defect.float(), batch.valid)
    if powers is not None:
        columns |= _of_pictures(prediction.reference.float(), prediction.reconstruction[:, depth].float(), where)
        kept = spectra.retained(powers.reference, powers.reconstruction[:, depth])
        known = where.normal.flatten(1).any(1, keepdim=True)
        kept = kept.where(known, torch.nan)
        columns |= {f"retained_{band}": kept[:, place] for place, band in enumerate(spectra.BANDS)}
    values = {name: column.tolist() for name, column in columns.items()}
    return [
        FailureRow(path, int(label), kind, **{name: values[name][index] for name in _MEASURED})
        for index, (path, label, kind) in enumerate(zip(batch.path, batch.label.tolist(), batch.kinds, strict=True))
    ]


def as_csv(rows: Iterable[FailureRow]) -> str:
    """The rows under their column names; empty cells where a question has no answer."""
    table = io.StringIO(newline="")
    lines = [["" if value != value else value for value in astuple(row)] for row in rows]
    csv.writer(table).writerows([COLUMNS, *lines])
    return table.getvalue()


def from_line(line: Mapping[str, str]) -> FailureRow:
    """The row that a line of a `failures.csv` was; NaN for columns that it lacks."""
    numbers = {name: float(line.get(name) or "nan") for name in _MEASURED}
    return FailureRow(line.get("path", ""), int(line.get("label") or 0), line.get("kind", ""), **numbers)


def _of_pictures(reference: Images, reconstruction: Images, where: Places) -> dict[str, Scores]:
    normal = where.normal
    difference = (reconstruction - reference).abs().div_(2)
    energy = difference.square().mean(1, keepdim=True)
    grey, other = (pictures.mean(1, keepdim=True) for pictures in (reference, reconstruction))
    theirs, mine = (texture.texture_statistics(pictures, normal) for pictures in (grey, other))
    quiet, loud = mean_inside(energy, normal), mean_inside(energy, where.defect)
    found = {
        "ssim": fidelity.ssim(grey, other, normal),
        "gradient_ratio": (mine.gradient + 1e-6) / (theirs.gradient + 1e-6),
        "variance_ratio": (mine.variance + 1e-9) / (theirs.variance + 1e-9),
        "cooccurrence": texture.cooccurrence_distance(grey, other, normal),
    }
    known = normal.flatten(1).any(1)
    return {name: column.where(known, torch.nan) for name, column in found.items()} | {
        "psnr": -10 * quiet.clamp(min=_FLOOR / 4).log10(),
        "energy_normal": quiet,
        "energy_defect": loud,
        "energy_contrast": 10 * ((loud + _FLOOR) / (quiet + _FLOOR)).log10(),
        "hallucination": _largest(window_mean(difference.mean(1, keepdim=True) * normal), normal),
    }


def _of_maps(anomaly_map: Maps, where: Places) -> dict[str, Scores]:
    quiet = mean_inside(anomaly_map, where.normal)
    return {
        "map_normal": quiet,
        "map_contrast": mean_inside(anomaly_map, where.defect) - quiet,
        "map_far": _largest(anomaly_map, where.normal),
    }


def _defect_contrast(image: Images, where: Places) -> Scores:
    grey = image.mean(1, keepdim=True)
    around = mean_inside(grey, where.ring)
    spread = mean_inside((grey - around[:, None, None, None]).square(), where.ring).sqrt()
    return (mean_inside(grey, where.defect) - around).abs() / spread.clamp(min=1 / 255)


def _largest(x: Maps, inside: Masks) -> Scores:
    """Largest value inside; NaN without any."""
    largest = x.masked_fill(~inside, -torch.inf).flatten(1).amax(1)
    return largest.masked_fill(largest == -torch.inf, torch.nan)
