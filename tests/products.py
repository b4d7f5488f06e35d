"""A folder in the layout of MVTec AD with small products, crops of scikit-image's photographs, and runs on them."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

from anomaly_diffusion import api
from anomaly_diffusion.runs.record import Run

SIDE = 32
TEXTURES = {"brick": data.brick, "grass": data.grass, "gravel": data.gravel}
OF_RUN = {
    "trainer.max_steps": 2,
    "trainer.val_check_interval": 2,
    "data.batch_size": 4,
    "data.image_size": [SIDE, SIDE],
    "data.validation.folds": 1,
    "data.validation.at_least": 6,
    "model.init_args.backbone.init_args.width": 8,
    "model.init_args.reconstruction.init_args.draws": 1,
    "panels.count": 1,
    "failures.worst": 1,
}


def write_products(root: Path, train: int = 14, test: int = 3) -> Path:
    """Crops of each texture; a third of those for testing have a white bar, with its mask."""
    for name, photograph in TEXTURES.items():
        pixels, random = photograph(), np.random.default_rng(len(name))
        for use, count in (("train/good", train), ("test/good", test), ("test/bar", test)):
            for number in range(count):
                top, left = random.integers(0, 512 - SIDE, 2)
                crop = pixels[top : top + SIDE, left : left + SIDE].copy()
                mask = np.zeros_like(crop)
                if use == "test/bar":
                    crop[10:14, 5:25], mask[10:14, 5:25] = 255, 255
                    _write(root / name / f"ground_truth/bar/{number:03}_mask.png", mask)
                _write(root / name / use / f"{number:03}.png", crop)
    return root


def trained(root: Path, runs: Path, category: str | list[str], **settings: object) -> Run:
    """A run of two steps on some of the products."""
    chosen = {"data.dataset.init_args.root": root, "data.dataset.init_args.category": category, "runs_dir": runs}
    return api.train("model/pixel.yaml", "data/mvtec_ad.yaml", settings=OF_RUN | chosen | settings)


def scores(run: Run) -> dict[str, float]:
    """The scores of a run's test images, by their paths."""
    return {one.path: one.score for one in run.results}


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
