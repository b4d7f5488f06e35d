"""CPU time, memory and error of pixel metrics: ours beside adeval, torchmetrics and scikit-learn.

python benchmarks/metrics.py                      # 100 and 1,725 images of 256 x 256; slow peers at 100 only
python benchmarks/metrics.py --slow 1725          # slow peers there, too (several GB each)

Each method runs in a process of its own, after a warm-up on four images; CPU time is that of the process, memory its
peak above what it held before. Errors are against exact sorting. The maps are smooth, their scores lognormal, defects
raised. adeval's bins are linear between the extremes: 1,000 is its default, 100,000 take twice our memory.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from anomaly_diffusion import torchvision_import
from anomaly_diffusion.metrics.connected_components import region_shares
from anomaly_diffusion.metrics.curves import ThresholdCounts, aupro, auroc, average_precision, f1_max

torchvision_import.install()  # before torchmetrics, which imports torchvision where it is installed
NAMES = ("auroc", "ap", "f1_max", "aupro", "aupro_05")
Figures = dict[str, float]


def make_image(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An anomaly map and its mask; three of four images carry one to three defects."""
    texture = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), 3)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(0, 4)):
        centre, axes = rng.integers(0, size, 2).tolist(), rng.integers(3, 32, 2).tolist()
        cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
    strength = np.float32(rng.uniform(0.5, 4.0))
    raised = texture / texture.std() + strength * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2)
    return np.exp(raised), mask.astype(bool)


def ours(maps: np.ndarray, masks: np.ndarray) -> Figures:
    import torch

    from anomaly_diffusion.metrics.anomaly import PixelMetrics

    torch.set_num_threads(1)
    metric = PixelMetrics()
    for start in range(0, len(maps), 16):
        batch = slice(start, start + 16)
        metric.update(torch.from_numpy(maps[batch, None]), torch.from_numpy(masks[batch, None]))
    return {name: value for name, value in metric.compute()._asdict().items() if name in NAMES}


def adeval(maps: np.ndarray, masks: np.ndarray, strips: int = 1000) -> Figures:
    np.trapz = np.trapezoid  # type: ignore[attr-defined]  # adeval 1.1.0 on NumPy 2.4
    from adeval import auroc_aupr_aupro

    figures = auroc_aupr_aupro(maps, masks.view(np.uint8), nstrips=strips)
    return dict(zip(("auroc", "ap", "aupro"), figures, strict=True))


def adeval_fine(maps: np.ndarray, masks: np.ndarray) -> Figures:
    return adeval(maps, masks, 100_000)


def exact(maps: np.ndarray, masks: np.ndarray) -> Figures:
    """Sorts everything: the reference."""
    share = np.concatenate([region_shares(mask) for mask in masks]).astype(np.float64)
    level, place = np.unique(maps[masks], return_inverse=True)
    normal = np.sort(maps[~masks])
    below, up_to = (np.searchsorted(normal, level, side=side) for side in ("left", "right"))
    rows = np.stack([len(normal) - up_to, len(normal) - below], axis=-1)[::-1].ravel()  # normal above; above or equal
    rows, columns = np.append(rows, len(normal)), np.zeros((2, 2 * len(level) + 1))
    columns[:, 1::2] = np.bincount(place)[::-1], np.bincount(place, share)[::-1]
    threshold = np.append(np.repeat(level[::-1], 2), normal[0])
    tied = np.ones(len(rows), dtype=bool)
    counts = ThresholdCounts(threshold, np.diff(rows, prepend=0), columns[0].astype(np.int64), columns[1], tied)
    figures = auroc(counts), average_precision(counts), f1_max(counts)[0], aupro(counts, 0.3), aupro(counts, 0.05)
    return dict(zip(NAMES, figures, strict=True))


def torchmetrics_auroc(maps: np.ndarray, masks: np.ndarray) -> Figures:
    from torchmetrics.classification import BinaryAUROC

    return {"auroc": _torchmetric(BinaryAUROC, maps, masks)}


def torchmetrics_ap(maps: np.ndarray, masks: np.ndarray) -> Figures:
    from torchmetrics.classification import BinaryAveragePrecision

    return {"ap": _torchmetric(BinaryAveragePrecision, maps, masks)}


def _torchmetric(kind: Callable, maps: np.ndarray, masks: np.ndarray) -> float:
    import torch

    torch.set_num_threads(1)
    metric = kind(thresholds=None, normalization=None)  # its sigmoid would depend on the batch
    for scores, mask in zip(maps, masks, strict=True):
        metric.update(torch.from_numpy(scores.ravel()), torch.from_numpy(mask.ravel()).int())
    return float(metric.compute())


def sklearn_auroc(maps: np.ndarray, masks: np.ndarray) -> Figures:
    from sklearn.metrics import roc_auc_score

    return {"auroc": float(roc_auc_score(masks.ravel(), maps.ravel()))}


def sklearn_ap(maps: np.ndarray, masks: np.ndarray) -> Figures:
    from sklearn.metrics import average_precision_score

    return {"ap": float(average_precision_score(masks.ravel(), maps.ravel()))}


FAST = (exact, adeval, adeval_fine, ours)
SLOW = (torchmetrics_auroc, torchmetrics_ap, sklearn_auroc, sklearn_ap)


def measure(method: Callable[[np.ndarray, np.ndarray], Figures], folder: str) -> tuple[Figures, float, float]:
    """Figures, CPU seconds and peak MB of one method on the stored images."""
    maps, masks = np.load(f"{folder}/maps.npy"), np.load(f"{folder}/masks.npy")
    for _ in range(2):
        method(maps[:4], masks[:4])
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # starts the peak afresh
    start = time.process_time()
    figures = method(maps, masks)
    return figures, time.process_time() - start, (_memory("VmHWM") - before) / 1e3


def _memory(field: str) -> float:
    """Resident kB of this process, now or at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def report(images: int, size: int, slow: bool) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        maps, masks = np.empty((images, size, size), np.float32), np.empty((images, size, size), bool)
        for index in range(images):
            maps[index], masks[index] = make_image(rng, size)
        np.save(f"{folder}/maps.npy", maps)
        np.save(f"{folder}/masks.npy", masks)
        print(f"\n{images} images of {size} x {size}, {masks.mean():.1%} defective", flush=True)
        del maps, masks
        seconds: dict[str, float] = {}
        truth: Figures = {}
        for method in FAST + SLOW * slow:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures, seconds[method.__name__], memory = pool.apply(measure, (method, folder))
            truth = truth or figures
            errors = "  ".join(f"{name} {value - truth[name]:+.1e}" for name, value in figures.items())
            name = method.__name__
            print(f"{name:20} {seconds[name]:8.2f} CPU s {memory:8.1f} MB   {errors}", flush=True)
        ratios = (f"{seconds['ours'] / seconds[peer]:.2f} of {peer}" for peer in ("adeval", "adeval_fine"))
        print("ours takes", ", ".join(ratios), {name: round(value, 4) for name, value in truth.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 1725], help="numbers of images")
    parser.add_argument("--size", type=int, default=256, help="side of an image, in pixels")
    parser.add_argument(
        "--slow", type=int, default=100, help="most images that torchmetrics and scikit-learn are given"
    )
    arguments = parser.parse_args()
    for images in arguments.images:
        report(images, arguments.size, images <= arguments.slow)
