"""Does memory grow with the number of test images, and how much does a photograph of 12 megapixels take?

    python benchmarks/memory.py --images 20000 --chart memory.png
    python benchmarks/memory.py --photograph 3000 4000 --config experiments/model/patchcore.yaml

The first trains a small network for two steps, then tests it on as many crops of the built-in brick photograph, half of
them with a painted defect, notes the resident memory of the process as it goes, and draws it.

The second trains a model for two steps on crops of the same photograph, by all words that it does not know itself, and
judges one photograph of noise of that size on tiles, in a fresh process of one thread. Peak memory is told above what
the process held before there was a photograph.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli import main as command_line  # before Lightning, whose torchvision it sees to

# isort: split
import pytorch_lightning as pl
import torch

from anomaly_diffusion import api, files
from anomaly_diffusion.runs.record import Run
from anomaly_diffusion.types import ImageBatch, Tiling

NOTES = 50
_MODEL = """
model:
  class_path: PixelDetector
  init_args:
    backbone: {class_path: UNet, init_args: {width: 8, multipliers: [1, 2], patch: 8}}
    schedule: CosineSchedule
    parametrisation: VelocityPrediction
    noise: GaussianNoise
    objective: {}
    reconstruction: {class_path: OneShot, init_args: {depths: [0.5], draws: 0}}
    scoring: {}
data:
  dataset: {class_path: Textures, init_args: {train: 32, validation: 32, test: %(images)d, crop: 64}}
  image_size: [%(size)d, %(size)d]
  loading: {cache_mb: 512, check: false}
trainer: {max_steps: 2, val_check_interval: 2, enable_progress_bar: false}
wandb: {mode: disabled}
"""

_SMALL = """
data:
  dataset: {class_path: Textures, init_args: {train: 16, validation: 16, test: 2, crop: 128}}
  image_size: [128, 128]
trainer: {max_steps: 2, val_check_interval: 2, enable_progress_bar: false}
wandb: {mode: disabled}
"""
_TILES = Tiling(512, 512, overlap=128)


class Gauge(pl.Callback):
    """Writes images seen and resident megabytes to memory.csv in the run folder, `NOTES` times in a test."""

    def __init__(self) -> None:
        self.notes: list[tuple[int, float]] = []
        self.seen = 0

    def on_test_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Note every so often."""
        self.seen += len(batch.path)
        whole = len(trainer.test_dataloaders.dataset)  # type: ignore[union-attr]
        if self.seen * NOTES // whole > len(self.notes) - 1:
            self.notes.append((self.seen, resident_mb()))
            text = "\n".join(f"{seen},{memory:.1f}" for seen, memory in self.notes)
            files.write(Path(trainer.default_root_dir) / "memory.csv", f"images,resident_mb\n{text}\n")


def resident_mb() -> float:
    """Resident memory of this process, from Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def chart(notes: list[tuple[int, float]], path: Path) -> None:
    """Draw the curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*notes, strict=True), linewidth=2)
    axes.set(xlabel="images scored", ylabel="resident memory, MB", ylim=(0, 1.3 * max(memory for _, memory in notes)))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def judge(folder: Path, size: tuple[int, int]) -> None:
    """Judge one photograph of noise on tiles by a run, and print what that takes."""
    torch.set_num_threads(1)
    detector = api.load(Run(folder))
    before, start = resident_mb(), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of now
    image = torch.empty(1, 3, *size).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    nowhere, everywhere = torch.zeros(1, 1, *size, dtype=torch.bool), torch.ones(1, 1, *size, dtype=torch.bool)
    known = torch.zeros(1, dtype=torch.bool), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    batch = ImageBatch(image, nowhere, everywhere, *known, torch.tensor([size]), ["noise"], [], tiles=_TILES)
    with torch.inference_mode():
        prediction = detector(batch)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM"))
    seconds, megapixels = time.perf_counter() - start, size[0] * size[1] / 1e6
    print(
        f"{type(detector).__name__}, {size[0]} x {size[1]} pixels ({megapixels:.0f} MP) in tiles of {_TILES.height}: "
        f"{peak - before:.0f} MB above {before:.0f} MB, {seconds:.0f} s, score {float(prediction.score):.6f}"
    )


def photograph(words: list[str], size: tuple[int, int]) -> None:
    """Train a model for a moment, and let a fresh process judge one photograph by it."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "small.yaml"
        config.write_text(_SMALL)
        places = ["--runs_dir", folder, "--experiment", "memory", "--run", "one"]
        status = command_line.main(["train", *words[:2], "--config", str(config), *words[2:], *places])
        if status:
            raise SystemExit(status)
        run = str(Path(folder) / "memory" / "one")
        subprocess.run([sys.executable, __file__, "--judge", run, "--photograph", *map(str, size)], check=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="test images")
    parser.add_argument("--size", type=int, default=256, help="side of an image in pixels")
    parser.add_argument("--chart", type=Path, help="where to draw the curve")
    parser.add_argument("--photograph", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="judge one of that size")
    parser.add_argument("--judge", type=Path, metavar="RUN_FOLDER", help="by a run that there is")
    options, words = parser.parse_known_args()
    if options.photograph:
        judge(options.judge, options.photograph) if options.judge else photograph(words, options.photograph)
        return
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "many.yaml"
        config.write_text(_MODEL % vars(options))
        words = ["--config", str(config), "--runs_dir", folder, "--experiment", "memory", "--run", "many"]
        status = command_line.main(["train", *words, "--trainer.callbacks+=memory.Gauge"])
        if status:
            raise SystemExit(status)
        with (Path(folder) / "memory" / "many" / "memory.csv").open() as file:
            notes = [(int(row["images"]), float(row["resident_mb"])) for row in csv.DictReader(file)]
    tenth = next(memory for seen, memory in notes if seen >= options.images / 10)
    growth = (notes[-1][1] - tenth) / (0.9 * options.images) * 1000
    print(f"{options.images} images of {options.size} x {options.size} pixels")
    for seen, memory in notes[:: max(1, len(notes) // 10)]:
        print(f"  {seen:6d} images: {memory:7.1f} MB")
    print(
        f"  {notes[-1][0]:6d} images: {notes[-1][1]:7.1f} MB   growth after the first tenth: {growth:.2f} kB per image"
    )
    if options.chart:
        chart(notes, options.chart)


if __name__ == "__main__":
    main()
