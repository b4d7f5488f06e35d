"""Scoring speed of feature diffusion, part by part, against PatchCore on the same features.

    python benchmarks/features.py --threads 1
    python benchmarks/features.py --threads 2 --size 256 --memory 8192

Both use the frozen network of experiments/model/feature.yaml, so the difference is what comes after it. The weights of
the denoiser are random, which does not change its speed; those of the frozen network must be at hand (see README).
Photographs are crops of a brick wall. Parts take turns (A B C A B C ...), and the median of the turns is printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from skimage import data
from torch import Generator, Tensor

from anomaly_diffusion import OneShot, Scoring, UNet
from anomaly_diffusion.baselines.patchcore import PatchCore
from anomaly_diffusion.detectors.detector import Detector
from anomaly_diffusion.detectors.feature_detector import FeatureDetector
from anomaly_diffusion.diffusion.objective import Objective
from anomaly_diffusion.networks.features import TorchvisionFeatures
from anomaly_diffusion.scoring.mahalanobis import MahalanobisResidual
from anomaly_diffusion.scoring.memory import Memory
from anomaly_diffusion.scoring.nearest import NearestResidual
from anomaly_diffusion.scoring.pooling import MaxPooling, TopKMean
from anomaly_diffusion.types import ImageBatch

TURNS = 5


def photographs(count: int, size: int, seed: int) -> ImageBatch:
    """Crops of a brick wall, all of them normal."""
    wall = torch.from_numpy(data.brick()).float().div(127.5).sub(1)
    places = torch.randint(wall.shape[0] - size + 1, (count, 2), generator=Generator().manual_seed(seed)).tolist()
    image = torch.stack([wall[top : top + size, left : left + size] for top, left in places])[:, None]
    return ImageBatch(
        image=image.repeat(1, 3, 1, 1),
        mask=torch.zeros(count, 1, size, size, dtype=torch.bool),
        valid=torch.ones(count, 1, size, size, dtype=torch.bool),
        label=torch.zeros(count, dtype=torch.bool),
        category=torch.zeros(count, dtype=torch.int64),
        key=torch.arange(count) + seed * count,
        size=torch.tensor([[size, size]]).repeat(count, 1),
        path=[f"{index}.png" for index in range(count)],
    )


def diffusion(options: argparse.Namespace) -> FeatureDetector:
    """As experiments/model/feature.yaml has it."""
    residuals = [MahalanobisResidual(), NearestResidual()]
    scoring = Scoring(residuals, smoothing=2.0, calibration_sigma=8.0, pooling=TopKMean(share=0.002))
    objective, strategy = Objective(shallowest=1.0, deepest=30.0), OneShot(depths=[10.0])
    backbone = UNet(channels=64, width=options.width, multipliers=(1, 2, 4), patch=1)
    return FeatureDetector(TorchvisionFeatures(), backbone, objective, strategy, scoring)


def patchcore(options: argparse.Namespace) -> PatchCore:
    """As experiments/model/nearest_patch.yaml has it."""
    memory = Memory(share=1.0, at_most=options.memory, candidates=options.memory)
    return PatchCore(TorchvisionFeatures(), memory, Scoring(smoothing=4.0, pooling=MaxPooling()))


def ready(detector: Detector, options: argparse.Namespace) -> Detector:
    """A detector that has seen some photographs."""
    torch.manual_seed(0)
    reconstruction = [photographs(8, options.size, seed) for seed in range(8)]
    detector.eval()
    with torch.no_grad():
        detector.codec.fit(torch.stack([detector.codec.moments(batch.image) for batch in reconstruction]).sum(0))
        if isinstance(detector, PatchCore):
            detector.remember(reconstruction)
        if detector.scoring.learners:
            detector.learn(reconstruction)
        detector.calibrate(reconstruction[:2])
    return detector


def parts(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    batch = photographs(options.batch, options.size, 99)
    ours, theirs = (ready(make(options), options) for make in (diffusion, patchcore))

    def whole(detector: Detector) -> Callable[[], object]:
        return lambda: detector(batch)

    def after_network(detector: Detector) -> Callable[[], object]:
        x_0 = detector.codec.encode(batch.image)

        def judge() -> Tensor:
            decoded = detector.decoded(batch, x_0)
            maps = detector.residual_maps(batch, decoded)
            _, anomaly_map = detector.scoring.judge(maps, detector.calibration, detector.weights)
            return detector.score(batch, decoded, anomaly_map)

        return judge

    x_0 = ours.codec.encode(batch.image)
    decoded = ours.decoded(batch, x_0)
    return {
        "frozen network and components": lambda: ours.codec.encode(batch.image),
        "denoiser": lambda: ours.restore(batch, x_0),
        "by position and nearest": lambda: ours.residual_maps(batch, decoded),
        "feature diffusion without the network": after_network(ours),
        "feature diffusion": whole(ours),
        "PatchCore without the network": after_network(theirs),
        "PatchCore": whole(theirs),
    }


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the images, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images in a batch")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--width", type=int, default=64, help="of the denoiser")
    parser.add_argument("--memory", type=int, default=8192, help="patches that PatchCore remembers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    works = parts(options)
    for work in works.values():
        work()  # warm up
    turns = [[seconds(work) for work in works.values()] for _ in range(TURNS)]
    taken = dict(
        zip(works, (statistics.median(turn) / options.batch for turn in zip(*turns, strict=True)), strict=True)
    )
    print(f"{options.size} px, batches of {options.batch}, {options.threads} threads, wall clock, medians of {TURNS}")
    for name, each in taken.items():
        print(f"{name:<40} {1000 * each:>8.1f} ms/image {1 / each:>8.1f} images/s")
    for rest in ("", " without the network"):
        ratio = taken[f"PatchCore{rest}"] / taken[f"feature diffusion{rest}"]
        print(f"{'feature diffusion against PatchCore' + rest:<56} {ratio:>5.2f} times as fast")


if __name__ == "__main__":
    main()
