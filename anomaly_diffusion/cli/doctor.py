"""`doctor`: looks at a folder of images before training, and tells what is broken and what would mislead."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from anomaly_diffusion.data.examination import Health, Record
    from anomaly_diffusion.data.sample import AnomalyDataset

__all__ = ["main"]

_WIDTH = 100  # a narrower table would cut the names of defects
_MEASURED, _LEAST, _SIDE = 48, 4, 256  # photographs whose motion is measured, and the longer side of their frames


def main(arguments: list[str]) -> int:
    """Examine a data set and print what was found; 1 if a file is bad."""
    options = _parser().parse_args(arguments)
    from rich.console import Console
    from rich.markup import escape

    from anomaly_diffusion.data.examination import examine

    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, _WIDTH)
    dataset = _dataset(options)
    with console.status("Reading photographs"):
        health = examine(dataset)
    _print_fingerprint(console, health, dataset)
    _print_movement(console, health, dataset)
    for number, warning in enumerate(health.warnings()):
        console.print(f"{'' if number else chr(10)}[yellow]warning:[/] {escape(warning)}")
    _print_problems(console, health)
    return 1 if health.problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion doctor",
        description="Check a folder of images before training on it; its layout is recognised.",
    )
    parser.add_argument("path", type=Path, help="the folder or its URL; a category of MVTec AD, for example; or a list")
    parser.add_argument("--normal", help="folder of good photographs below it (default: found by its name)")
    parser.add_argument("--defects", nargs="+", help="folders of defective ones (default: all others)")
    parser.add_argument("--masks", help='folder of masks (default: found by its name, if there is one; "": none)')
    parser.add_argument("--test_normal", help="folder of good photographs to test on (default: found, or a share)")
    return parser


def _dataset(options: argparse.Namespace) -> "AnomalyDataset":
    from anomaly_diffusion.data.examination import layout_of
    from anomaly_diffusion.data.layouts.folder import Folder
    from anomaly_diffusion.data.reading.remote import located
    from anomaly_diffusion.data.sample import find_root

    named = located(options.path, anew=True)
    root = named if named.is_file() else find_root(named)
    chosen = (options.normal, options.defects, options.masks, options.test_normal)
    if all(name is None for name in chosen):
        return layout_of(root)
    return Folder(root, *chosen)


def _print_fingerprint(console: "Console", health: "Health", dataset: "AnomalyDataset") -> None:
    from rich.table import Table

    console.print(f"[bold]{dataset.folder}[/], read as {type(dataset).__name__}\n")
    table = Table("use", "kind", "images", "size h x w", "channels", "mask share", box=None, padding=(0, 2, 0, 0))
    table.add_row("train", "good", *_row(health.train))
    for kind, records in health.kinds().items():
        table.add_row("test", kind, *_row(records))
    console.print(table)
    if shortcuts := health.shortcuts():
        console.print("\nWhat a single number of the grey image would reach (AUROC of test images; .5 is chance):")
        numbers = Table("", "raw", "|z|", "test - train normals, sd", box=None, padding=(0, 3, 0, 0))
        for shortcut in shortcuts:
            numbers.add_row(
                shortcut.name, *(f"{v:.3f}" for v in (shortcut.raw, shortcut.distance)), f"{shortcut.drift:+.2f}"
            )
        console.print(numbers)
    console.print(f"\ncopies: {health.copies()} within train, {len(health.shared)} of test in train")
    for told in health.told():
        if not told.warns:
            console.print(told.text, markup=False)


def _print_movement(console: "Console", health: "Health", dataset: "AnomalyDataset") -> None:
    """How far training photographs move, measured on small frames of some of them."""
    records = health.train[:: -(-len(health.train) // _MEASURED) or 1]
    if len(records) < _LEAST:
        return
    import cv2
    import numpy as np
    from rich.progress import track

    from anomaly_diffusion.data.reading.colour import with_channels
    from anomaly_diffusion.scoring.movement import movement

    height, width = (int(side) for side in np.median([record.size for record in records], axis=0))
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    frames = []
    for record in track(records, "Measuring motion", console=console, transient=True):
        grey = with_channels(dataset.read(record.sample)[0], 1)[..., 0].astype(np.float32)
        frames.append(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    console.print(f"motion: {movement(frames)}", markup=False)


def _row(records: "list[Record]") -> tuple[str, str, str, str]:
    from anomaly_diffusion.data.examination import sizes

    counts = sizes(records)
    heights, widths = ([size[side] for size in counts] for side in (0, 1))
    several = f"{min(heights, default=0)}-{max(heights, default=0)} x {min(widths, default=0)}-{max(widths, default=0)}"
    size = f"{heights[0]} x {widths[0]}" if len(counts) == 1 else f"{several} ({len(counts)} sizes)"
    channels = "/".join(str(number) for number in sorted({record.channels for record in records}))
    return str(len(records)), size, channels, _mask_text(records)


def _mask_text(records: "list[Record]") -> str:
    shares = sorted(record.masked for record in records if record.sample.mask is not None)
    if shares:
        return f"{shares[0]:.3%} to {shares[-1]:.3%}, median {shares[len(shares) // 2]:.3%}"
    return "none: image figures only" if any(record.sample.label for record in records) else ""


def _print_problems(console: "Console", health: "Health") -> None:
    if not health.problems:
        console.print("\n[green]No bad file.[/]")
        return
    console.print(f"\n[red]{len(health.problems)} bad file{'s' * (len(health.problems) > 1)}:[/]")
    for path, problem in health.problems.items():
        console.print(f"  {path}: {problem}", markup=False)
