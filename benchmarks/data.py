"""Images per second and core: decode, resize and augment each time, against the uint8 cache with the same augmentation.

Run: python benchmarks/data.py [--side 1024] [--image_size 256] [--images 64]
The bar is a ratio of 15 between the first two rows; the last row is what training without augmentation gets.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from anomaly_diffusion import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.split import Validation
from anomaly_diffusion.data.transforms import Augmentation

FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True)


def main() -> None:
    """Write photographs, load them both ways, print a table."""
    options = parse()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder) / "train" / "good", options.images, options.side)
        rows = {
            "decoded at each use, flips": speed(folder, options, FLIPS, cache_mb=0),
            "uint8 cache, flips": speed(folder, options, FLIPS, cache_mb=2048),
            "uint8 cache, no augmentation": speed(folder, options, None, cache_mb=2048),
        }
    print(f"PNG {options.side} px -> {options.image_size} px, RGB, batches of 16, one core")
    decoded = rows["decoded at each use, flips"]
    for name, rate in rows.items():
        print(f"{name:32s}{rate:10.0f} images/s{rate / decoded:8.1f} x")
    print(f"cache: {options.image_size**2 * 5 / 1e6:.2f} MB an image")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024, help="side of the PNG files")
    parser.add_argument("--image_size", type=int, default=256, help="side of the frames")
    parser.add_argument("--images", type=int, default=64, help="number of files")
    return parser.parse_args()


def write_photographs(folder: Path, count: int, side: int) -> None:
    """Write smooth noise with grain, which compresses like a photograph."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.integers(0, 256, (side // 32, side // 32, 3)).astype(np.float32)
        image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) + generator.normal(
            0, 4, (side, side, 3)
        )
        cv2.imwrite(str(folder / f"{number:03}.png"), image.clip(0, 255).astype(np.uint8))


def speed(folder: str, options: argparse.Namespace, augmentation: Augmentation | None, cache_mb: int) -> float:
    """Return images per CPU second over at least a second of whole epochs."""
    data = AnomalyDataModule(
        MVTecAD(folder),
        (options.image_size, options.image_size),
        augmentation=augmentation,
        validation=Validation(at_least=2, at_most=2),
        loading=Loading(cache_mb=cache_mb, check=False),
    )
    data.setup("fit")
    loader = data.train_dataloader()
    next(iter(loader))  # albumentations is imported at first use
    images, start = 0, time.process_time()
    while time.process_time() < start + 1:
        images += sum(len(batch.path) for batch in loader)
    return images / (time.process_time() - start)


if __name__ == "__main__":
    main()
