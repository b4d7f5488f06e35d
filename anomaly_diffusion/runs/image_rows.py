"""The verdicts image by image."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace

from anomaly_diffusion.files import kinds_of
from anomaly_diffusion.types import ImageBatch, Prediction


@dataclass(frozen=True)
class ImageRow:
    """What there is to say about one image.

    Args:
        path: relative to the root of the data set.
        label: 1 for a defective image; None where nobody knows.
        kind: "good", or the folder of a defective image.
        defect_share: defective pixels among those of the photograph; 0 without a mask.
        score: image anomaly score.
        map_max: largest value of the map, as are the next two without padding.
        map_mean: its mean.
        map_p99: what 99 % of its pixels stay below.
        seconds: the batch's time, shared equally.
    """

    path: str
    label: int | None
    kind: str
    defect_share: float
    score: float
    map_max: float
    map_mean: float
    map_p99: float
    seconds: float


COLUMNS = tuple(field.name for field in fields(ImageRow))


def image_rows(prediction: Prediction, batch: ImageBatch, seconds: float) -> list[ImageRow]:
    """One row for each image of a batch that took `seconds`."""
    rows = []
    for index, (path, kind) in enumerate(zip(batch.path, kinds_of(batch), strict=True)):
        values = prediction.anomaly_map[index][batch.valid[index]].float().cpu()
        label, score = bool(batch.label[index]), float(prediction.score[index])
        statistics = float(values.max()), float(values.mean()), float(values.quantile(0.99))
        share = float(batch.mask[index].sum()) / values.numel()
        rows.append(ImageRow(path, int(label), kind, share, score, *statistics, seconds / len(batch.path)))
    return rows


def unlabelled(rows: Iterable[ImageRow]) -> list[ImageRow]:
    """The rows of images about which nothing is known."""
    return [replace(row, label=None, kind="") for row in rows]


def as_csv(rows: Iterable[ImageRow]) -> str:
    """The rows under their column names."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows([COLUMNS, *map(astuple, rows)])
    return table.getvalue()
