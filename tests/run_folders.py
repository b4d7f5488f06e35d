"""Run folders made by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import yaml

from anomaly_diffusion import files
from anomaly_diffusion.runs.record import RunRecord
from anomaly_diffusion.types import ImageResult


def written(folder, summary=None, config=None, **tables):
    """A run with these files; of the names of tables, `per_image` say, each is followed by its text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary or {}))
    (folder / "config.yaml").write_text(yaml.safe_dump(config or {}))
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return RunRecord(folder)


def image(path, label, score, **known):
    """The result of an image of which little else is known."""
    return ImageResult(
        path, label, "dent" if label else "good", known.pop("defect_share", float(label)), score, **known
    )


def write_tiles(folder: Path) -> None:
    """Pictures of every image that `panels/test.json` and `failures.json` name, unless the run has written them."""
    panels, failures = (json.loads((folder / name).read_text()) for name in ("panels/test.json", "failures.json"))
    named = [*panels["images"], *(case for cases in failures["worst"].values() for case in cases)]
    for place, path in enumerate(dict.fromkeys(entry["path"] for entry in named)):
        for shade, name in enumerate(("image", "reconstruction", "difference", "anomaly_map")):
            tile = folder / "tiles" / files.safe_name(path) / f"{name}.png"
            if not tile.exists():
                tile.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tile), np.full((32, 40, 3), 40 * shade + place, np.uint8))
