"""Does validation choose what the test would? Kendall's tau between both orders of settings, old painter and new.

Run: python benchmarks/choice.py data/screw.yaml data/tile.yaml data/ball_screw.yaml [--steps 300]
Each DATA is an experiment of a labelled set. Two networks are trained on it, with white and with cloudy noise, and
judged under settings of depth, strategy and residuals: by the pixel AP of painted defects as `choose` does (mean rank
over families), and by the pixel AP of the test. The old painter is that of the built-in textures' test images. The bar:
new - old at least .2, and new at least .5 in the mean. The family that misleads is that of the lowest tau by itself.
"""

import argparse
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.random import Generator
from scipy import stats

from anomaly_diffusion import api
from anomaly_diffusion.cli.parsing import lightning_cli
from anomaly_diffusion.cli.parsing.arguments import prepare
from anomaly_diffusion.data.batches import BatchLoader, BatchSource, as_they_are
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import FrameStore, Photograph, Reader
from anomaly_diffusion.data.painting.built_in import BUILT_IN_DEFECTS, BuiltInPainter
from anomaly_diffusion.data.painting.painter import FAMILIES, Painter
from anomaly_diffusion.data.sample import Sample
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.diffusion_detector import DiffusionDetector
from anomaly_diffusion.metrics.curves import average_precision, count_scores
from anomaly_diffusion.reconstruction.inversion import Inversion
from anomaly_diffusion.reconstruction.one_shot import OneShot
from anomaly_diffusion.reconstruction.partial_diffusion import PartialDiffusion
from anomaly_diffusion.reconstruction.strategy import Reconstruction
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.scoring.residual import GradientSimilarityResidual, L1Residual, SSIMResidual
from anomaly_diffusion.scoring.scorer import Scoring
from anomaly_diffusion.verdicts.choice import order_agreement

SIDE = 256  # shorter side at which photographs are painted: that of the old painter's sketch
CLOUDS = "ablation/clouds_and_grain.yaml"


class Setting(NamedTuple):
    """A network, a way to reconstruct and a way to compare."""

    clouds: bool
    reconstruction: Callable[[], Reconstruction]
    scoring: Callable[[], Scoring]


class Painting(NamedTuple):
    """A photograph with a defect, as readers take it."""

    image: np.ndarray
    mask: np.ndarray
    kind: str


def all_residuals(smoothing: float = 1.0) -> Scoring:
    """Those of ablation/small_frames.yaml."""
    return Scoring([L1Residual(), SSIMResidual(), GradientSimilarityResidual()], smoothing=smoothing)


def three_depths() -> Reconstruction:
    """That of ablation/small_frames.yaml."""
    return OneShot([0.2, 0.5, 1.0], draws=0)


SETTINGS = {
    "default": Setting(False, three_depths, all_residuals),
    "depth .2": Setting(False, lambda: OneShot([0.2], draws=0), all_residuals),
    "depth .5": Setting(False, lambda: OneShot([0.5], draws=0), all_residuals),
    "depth 1": Setting(False, lambda: OneShot([1.0], draws=0), all_residuals),
    "L1": Setting(False, three_depths, lambda: Scoring([L1Residual()], smoothing=1.0)),
    "SSIM": Setting(False, three_depths, lambda: Scoring([SSIMResidual()], smoothing=1.0)),
    "gradients": Setting(False, three_depths, lambda: Scoring([GradientSimilarityResidual()], smoothing=1.0)),
    "smoothing 2.5": Setting(False, three_depths, lambda: all_residuals(2.5)),
    "noisy": Setting(False, lambda: OneShot([0.5], draws=2), all_residuals),
    "DDIM": Setting(False, lambda: PartialDiffusion([0.5], steps=3), all_residuals),
    "inversion": Setting(False, lambda: Inversion([0.5], steps=3), all_residuals),
    "clouds": Setting(True, three_depths, all_residuals),
    "clouds, depth .5": Setting(True, lambda: OneShot([0.5], draws=0), all_residuals),
    "clouds, L1": Setting(True, three_depths, lambda: Scoring([L1Residual()], smoothing=1.0)),
}


def main() -> None:
    """Print a table of tau, and how each set's settings stand."""
    options = parse()
    rows: list[list[float]] = []
    print(f"seed {options.seed}, {options.steps} steps, {options.defects} defects a family")
    for name in options.data:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one_set(name, Path(folder), options))
    old, new = np.array(rows).mean(0)
    print(f"\n| mean | {old:+.2f} | {new:+.2f} |\n\nnew - old {new - old:+.2f} (bar .2), new {new:+.2f} (bar .5)")
    for place, name in enumerate(options.data):
        others = [row[1] for number, row in enumerate(rows) if number != place]
        if others:
            print(f"trust on {Path(name).stem} by the other sets: {np.mean(others):+.2f}")


def one_set(name: str, folder: Path, options: argparse.Namespace) -> list[float]:
    """Tau of the old and of the new painter on a set."""
    runs = {clouds: trained(name, folder, options, clouds) for clouds in (False, True)}
    data = api.data_module(runs[False])
    stores = {
        painter: {family: painted(data, family, paint, options) for family, paint in families.items()}
        for painter, families in painters().items()
    }
    tests = test_batches(data, options.tests)
    validation: dict[str, dict[str, dict[str, float]]] = {
        painter: {family: {} for family in families} for painter, families in stores.items()
    }
    test: dict[str, float] = {}
    for label, setting in SETTINGS.items():
        detector = detector_of(runs[setting.clouds], setting, data)
        test[label] = pixel_ap(detector, tests)
        for painter, families in stores.items():
            for family, store in families.items():
                validation[painter][family][label] = mean_ap(detector, store, data.batch_size)
        shown = [np.mean([validation[painter][family][label] for family in stores[painter]]) for painter in stores]
        print(f"  {label:18s} test {test[label]:.3f}  old {shown[0]:.3f}  new {shown[1]:.3f}", flush=True)
    taus = [order_agreement(by_rank(validation[painter]), test) for painter in stores]
    print(f"| {Path(name).stem} | {taus[0]:+.2f} | {taus[1]:+.2f} |", flush=True)
    for painter, measured in validation.items():
        alone = {family: order_agreement(figures, test) for family, figures in measured.items()}
        told = ", ".join(f"{family} {tau:+.2f}" for family, tau in sorted(alone.items(), key=lambda pair: pair[1]))
        print(f"  {painter}, each family by itself: {told}", flush=True)
    return taus


def trained(name: str, folder: Path, options: argparse.Namespace, clouds: bool) -> RunRecord:
    """A run of the pixel detector."""
    settings = {
        "runs_dir": folder / f"clouds_{clouds}", "trainer.max_steps": options.steps, "seed_everything": options.seed,
        "trainer.val_check_interval": options.steps, "model.init_args.backbone.init_args.width": 24,
        "wandb.mode": "disabled", "trainer.enable_progress_bar": False,
    }  # fmt: skip
    overlays = ["model/pixel.yaml", "ablation/small_frames.yaml", name, *([CLOUDS] if clouds else [])]
    words = [f"--config={path}" for path in overlays] + [f"--{key}={value}" for key, value in settings.items()]
    return RunRecord(lightning_cli.carry_out(prepare("fit", words)))


def painters() -> dict[str, dict[str, Callable[[np.ndarray, Generator], Painting]]]:
    """What each painter paints, by family; without those that need an object, which half of the sets lack."""

    def old(painter: BuiltInPainter, kind: str) -> Callable[[np.ndarray, Generator], Painting]:
        return lambda image, generator: Painting(*painter(image, generator), kind)

    def new(painter: Painter) -> Callable[[np.ndarray, Generator], Painting]:
        def paint(image: np.ndarray, generator: Generator) -> Painting:
            painted = painter(image, generator)
            return Painting(painted.image, painted.mask, painted.kind)

        return paint

    kinds = [family for family in FAMILIES if "part" not in family.kind and "missing" not in family.kind]
    return {
        "old": {defect.kind: old(BuiltInPainter(defects=[defect]), defect.kind) for defect in BUILT_IN_DEFECTS},
        "new": {family.kind: new(Painter(families=[family])) for family in kinds},
    }


def painted(
    data: AnomalyDataModule,
    family: str,
    paint: Callable[[np.ndarray, Generator], Painting],
    options: argparse.Namespace,
) -> FrameStore:
    """Frames of held-out photographs with defects of one family."""

    def shrunk(image: np.ndarray, generator: Generator) -> Painting:
        scale = min(1.0, SIDE / min(image.shape[:2]))
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        return paint(small.reshape(*small.shape[:2], -1), generator)

    held_out = data.held_out()
    photographs = [
        Photograph(held_out[number % len(held_out)], zlib.crc32(f"{options.seed} {family} {number}".encode()))
        for number in range(options.defects)
    ]
    reader = Reader(data.dataset, data.policy, data.image_size, data.channels, shrunk)  # type: ignore[arg-type]
    return FrameStore(photographs, reader, room=2_000_000_000)


def test_batches(data: AnomalyDataModule, most: int) -> list:
    """Batches of at most so many test photographs, evenly chosen of either label."""

    def some(samples: Sequence[Sample]) -> list[Sample]:
        return [samples[place] for place in np.unique(np.linspace(0, len(samples) - 1, most // 2).astype(int))]

    samples = data.dataset.test_samples()
    chosen = some([one for one in samples if not one.label]) + some([one for one in samples if one.label])
    reader = Reader(data.dataset, data.policy, data.image_size, data.channels, Painter())
    store = FrameStore([Photograph(sample) for sample in chosen], reader, room=2_000_000_000)
    return list(batches(store, data.batch_size))


def batches(store: FrameStore, size: int) -> Iterator:
    """The frames of a store."""
    yield from BatchLoader(BatchSource(store), batch_size=size, collate_fn=as_they_are)


def detector_of(run: RunRecord, setting: Setting, data: AnomalyDataModule) -> Detector:
    """The detector of a run under a setting, calibrated on held-out photographs."""
    detector, reconstruction = cast(DiffusionDetector, api.load(run)), setting.reconstruction()
    detector.reconstruction, detector.scoring = reconstruction, setting.scoring()
    detector.weights = torch.ones(1) if reconstruction.provides_maps else detector.scoring.weights
    count = len(reconstruction.depths) * len(detector.weights)
    detector.calibration = detector.scoring.calibration(count)
    reader = Reader(data.dataset, data.policy, data.image_size, data.channels, Painter())
    normal = FrameStore([Photograph(sample) for sample in data.held_out()], reader, room=2_000_000_000)
    detector.calibrate(batches(normal, data.batch_size))
    return detector.eval()


def pixel_ap(detector: Detector, tests: list) -> float:
    """Pixel AP over all test photographs whose truth is known."""
    values, masks = [], []
    for batch in tests:
        found = detector(batch).anomaly_map
        known = batch.valid & (~batch.label | batch.mask.flatten(1).any(1))[:, None, None, None]
        values.append(found[known].numpy())
        masks.append(batch.mask[known].numpy())
    return average_precision(count_scores(np.concatenate(values), np.concatenate(masks)))


def mean_ap(detector: Detector, store: FrameStore, size: int) -> float:
    """Mean over photographs of the mean pixel AP of their defects."""
    found: dict[str, list[float]] = {}
    for batch in batches(store, size):
        maps = detector(batch).anomaly_map
        for path, values, mask, valid in zip(batch.path, maps, batch.mask, batch.valid, strict=True):
            figure = average_precision(count_scores(values[valid].numpy(), mask[valid].numpy()))
            found.setdefault(path, []).append(figure)
    return float(np.nanmean([np.nanmean(figures) for figures in found.values() if not np.isnan(figures).all()]))


def by_rank(families: dict[str, dict[str, float]]) -> dict[str, float]:
    """Minus the mean rank of each setting over families."""
    names = list(next(iter(families.values())))
    ranks = [stats.rankdata([-figures[name] for name in names]) for figures in families.values()]
    return dict(zip(names, -np.mean(ranks, axis=0), strict=True))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="experiments of labelled sets, such as data/tile.yaml")
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument("--tests", type=int, default=120, help="test photographs at most")
    parser.add_argument("--defects", type=int, default=64, help="of each family")
    parser.add_argument("--seed", type=int, default=0, help="of training and painting")
    return parser.parse_args()


if __name__ == "__main__":
    main()
