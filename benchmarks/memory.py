"""Does memory grow with the number of test images? Scores many of them with all callbacks, and draws the answer.

    python benchmarks/memory.py --images 20000 --chart memory.png

Trains a small network for two steps, then tests it on as many crops of the built-in brick photograph, half of them with
a painted defect, and notes the resident memory of the process as it goes.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli import main as command_line  # before Lightning, whose torchvision it sees to

# isort: split
import pytorch_lightning as pl

from anomaly_diffusion import files

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


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="test images")
    parser.add_argument("--size", type=int, default=256, help="side of an image in pixels")
    parser.add_argument("--chart", type=Path, help="where to draw the curve")
    options = parser.parse_args()
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
