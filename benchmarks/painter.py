"""Do painted defects look like real ones in numbers? Contrast, width, elongation and roughness, painted beside real.

    python benchmarks/painter.py --root DATA [--photographs 48] [--seed 0]

DATA holds sets in the layout of MVTec AD, one or two folders deep: any folder with `train/good`. Real defects are all
connected ones of `test`, which are measured here and chosen by nowhere; painted ones lie on normal photographs of
`train/good`. Brick, the built-in texture, has no real ones: its test defects stand beside. Printed are medians and
quartiles, as a table in Markdown, the CPU seconds a painted defect takes, also on a photograph of twelve megapixels.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.textures import Textures
from anomaly_diffusion.data.painting.painter import Painted, Painter
from anomaly_diffusion.data.painting.statistics import DefectStatistics, defect_statistics
from anomaly_diffusion.data.reading.photographs import Pixels
from anomaly_diffusion.data.sample import AnomalyDataset, Sample

COLUMNS = ("cnr", "width", "elongation", "std_ratio")


@dataclass(frozen=True)
class PaintedSet:
    """Painted defects of one data set, and the CPU seconds that each took."""

    defects: list[Painted]
    seconds: float


def main() -> None:
    """Measure every set, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of data sets")
    parser.add_argument("--photographs", type=int, default=48, help="normal photographs to paint on, per set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("| defects | number | CNR | width | elongation | std inside / ring | s |\n" + "|---" * 7 + "|")
    for name, dataset in sets(options.root):
        report(name, dataset, options.photographs, options.seed)
    large = np.tile(Textures("brick").read(Textures("brick").train_samples()[0])[0], (47, 63, 3))
    spent = [painted([large[:3000, :4000]], options.seed + number).seconds for number in range(8)]
    print(f"\n3000 x 4000 pixels, three channels: median {np.median(spent):.2f} s of CPU a defect")


def sets(root: Path) -> Iterator[tuple[str, AnomalyDataset]]:
    """Give the sets below a folder, and brick."""
    for folder in sorted({*root.glob("*/train/good"), *root.glob("*/*/train/good")}):
        yield folder.parents[1].name, MVTecAD(folder.parents[1])
    yield "brick", Textures("brick")


def report(name: str, dataset: AnomalyDataset, photographs: int, seed: int) -> None:
    """Print the rows of one set."""
    print(row(f"{name}, test", measured(dataset, dataset.test_samples())))
    samples = dataset.train_samples()
    chosen = [samples[number] for number in np.linspace(0, len(samples) - 1, photographs).astype(int)]
    found = painted((dataset.read(sample)[0] for sample in chosen), seed)
    print(row(f"{name}, painted", [one.met for one in found.defects], f"{found.seconds:.2f}"))
    print(row(f"{name}, asked for", [one.target for one in found.defects]), flush=True)
    print(f"<!-- {name}: {dict(Counter(one.kind for one in found.defects).most_common())} -->")


def measured(dataset: AnomalyDataset, samples: Iterable[Sample]) -> list[DefectStatistics]:
    """Measure the real defects of a set."""
    pairs = (dataset.read(sample) for sample in samples if sample.label)
    return [one for image, mask in pairs for one in defect_statistics(image, mask)]


def painted(images: Iterable[Pixels], seed: int) -> PaintedSet:
    """Paint one defect on every photograph."""
    painter, defects, spent = Painter(), [], 0.0
    for number, image in enumerate(images):
        begin = time.process_time()
        defects.append(painter(image, np.random.default_rng([seed, number])))
        spent += time.process_time() - begin
    return PaintedSet(defects, spent / max(1, len(defects)))


def row(name: str, defects: list[DefectStatistics], seconds: str = "") -> str:
    """One line of the table: median [quartiles]."""
    cells = []
    for column in COLUMNS:
        low, middle, high = np.quantile([getattr(one, column) for one in defects], [0.25, 0.5, 0.75])
        digits = 3 if column == "width" else 1 if column == "elongation" else 2
        cells.append(f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
    return f"| {name} | {len(defects)} | {' | '.join(cells)} | {seconds} |"


if __name__ == "__main__":
    main()
