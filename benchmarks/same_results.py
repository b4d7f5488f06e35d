"""Do two checkouts give the same results, bit for bit? For changes that should change nothing that is measured.

python benchmarks/same_results.py OTHER_CHECKOUT   # five short runs, and what each leaves behind

Times, memory and the command line are not compared, nor what only one of them writes, which is named.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
NOT_COMPARED = {
    *(
        "seconds",
        "seconds_per_image",
        "train_seconds",
        "fit_seconds",
        "peak_memory_mb",
        "peak_gpu_memory_mb",
        "command",
    ),
}
_SHORT = [
    "--trainer.max_steps=12",
    "--trainer.val_check_interval=6",
    "--data.image_size=[32,32]",
    "--wandb.mode=disabled",
]
_SMALL = [
    "--data.dataset.init_args.train=24",
    "--data.dataset.init_args.test=12",
    "--data.dataset.init_args.validation=8",
]
RUNS = {
    "pixel": ["model/pixel", "ablation/two_depths"],
    "strategy": ["model/pixel", "ablation/harmonised"],
    "autoencoder": ["model/autoencoder"],
    "feature": ["model/feature"],
    "patchcore": ["model/patchcore"],
}
NEEDS_WEIGHTS = {"feature", "patchcore"}
TABLES = ("per_image.csv", "failures.csv", "depths.csv")
RECORDS = ("summary.json", "failures.json")


def main() -> int:
    """Compare, and say how many values were equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="another checkout of this project")
    other = parser.parse_args().other.resolve()
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, configs in RUNS.items():
            if name in NEEDS_WEIGHTS and not os.environ.get("ANOMALY_DIFFUSION_WEIGHTS"):
                print(f"{name:12} left out: ANOMALY_DIFFUSION_WEIGHTS names no folder")
                continue
            theirs, ours = (
                run(place, Path(folder) / side, name, configs) for side, place in (("a", other), ("b", HERE))
            )
            differ += compare(name, dict(values(theirs)), dict(values(ours)))
    return int(differ > 0)


def run(checkout: Path, folder: Path, name: str, configs: list[str]) -> Path:
    """Train with the code and the experiments of a checkout, and return the run folder."""
    words = [f"--config=experiments/{config}.yaml" for config in ["data/textures", *configs]]
    place = ["--runs_dir", str(folder), "--experiment", "same", "--run", name]
    size = ["--data.image_size=[64,64]"] if name in NEEDS_WEIGHTS else []  # frozen networks halve it often
    command = [sys.executable, "-m", "anomaly_diffusion", "train", *words, *_SHORT, *_SMALL, *size, *place]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{checkout}: {name} ends with {done.returncode}.\n{done.stderr[-3000:]}")
    return folder / "same" / name


def values(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every value that a run has left in its tables and records, by its place."""
    for name in TABLES:
        if (folder / name).is_file():
            with (folder / name).open(newline="") as file:
                for number, row in enumerate(csv.DictReader(file)):
                    yield from _flat(row, f"{name}:{number}")
    for name in RECORDS:
        yield from _flat(json.loads((folder / name).read_text()), name)


def compare(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> int:
    """Print what differs between two runs, and return how many values do."""
    shared = theirs.keys() & ours.keys()
    different = sorted(key for key in shared if theirs[key] != ours[key])
    print(f"{name:12} {len(shared) - len(different)} of {len(shared)} values equal")
    for key in different[:10]:
        print(f"  {key}: {theirs[key]} there, {ours[key]} here")
    for place, only in (("there", theirs.keys() - shared), ("here", ours.keys() - shared)):
        if only:
            print(
                f"  only {place}: {', '.join(sorted(only)[:5])}"
                + ("" if len(only) <= 5 else f" and {len(only) - 5} more")
            )
    return len(different)


def _flat(content: Any, above: str) -> Iterator[tuple[str, Any]]:
    """The numbers and texts of nested mappings and lists, without those that differ from run to run."""
    if isinstance(content, Mapping | list):
        for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
            if key not in NOT_COMPARED:
                yield from _flat(value, f"{above}.{key}")
    else:
        yield above, content


if __name__ == "__main__":
    sys.exit(main())
