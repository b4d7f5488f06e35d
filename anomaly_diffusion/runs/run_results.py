"""What a finished run has left in its folder, read back for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.callbacks.selection import DisplaySampler
from anomaly_diffusion.names import FIGURES

__all__ = ["RunResults", "Shown", "read_run"]

OPTIONAL = ("per_image.csv", "failures.csv", "failures.json", "panels/test.png", "depths.csv")


@dataclass(frozen=True)
class Shown:
    """A test image that has a panel of its own.

    Args:
        panel: the picture file.
        path: of the image, relative to the root of its data set; nothing if nobody knows any more.
        score: image anomaly score; None likewise.
        label: whether it is defective; None likewise.
    """

    panel: Path
    path: str = ""
    score: float | None = None
    label: bool | None = None


@dataclass(frozen=True)
class RunResults:
    """A tested run.

    Args:
        folder: where it is.
        group: runs of one group differ in their seed only.
        name: tells it from the others of its group.
        summary: content of `summary.json`.
        images: lines of `per_image.csv`.
        failures: lines of `failures.csv` by the path of the image.
        analysis: content of `failures.json`.
        depths: lines of `depths.csv`.
        shown: test images with panels of their own.
        threshold: score from which an image is called defective; None if nobody knows any more.
        missing: files that it lacks.
    """

    folder: Path
    group: str
    name: str
    summary: Mapping[str, Any]
    images: Sequence[Mapping[str, str]] = ()
    failures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    depths: Sequence[Mapping[str, float]] = ()
    shown: Sequence[Shown] = ()
    threshold: float | None = None
    missing: Sequence[str] = ()


def read_run(folder: Path, group: str, name: str) -> RunResults:
    """Read a run folder, without its weights.

    Args:
        folder: of the run, or of an evaluation.
        group: what its experiment is called.
        name: what itself is called.

    Raises:
        ValueError: if it has not been tested, or a file cannot be read.
    """
    summary = _json(folder / "summary.json")
    images = _lines(folder / "per_image.csv")
    if not images and all(summary.get(figure) is None for figure in FIGURES):
        raise ValueError(f"{folder} has no test results. Test it: anomaly-diffusion test --run_folder {folder}")
    panels = _json(folder / "panels" / "test.json")
    return RunResults(
        folder=folder,
        group=group,
        name=name,
        summary=summary,
        images=images,
        failures={row.get("path", ""): row for row in _lines(folder / "failures.csv")},
        analysis=_json(folder / "failures.json"),
        depths=[_numbers(row) for row in _lines(folder / "depths.csv")],
        shown=_listed(folder, panels) if panels else _as_chosen(folder, images),
        threshold=panels.get("threshold"),
        missing=[file for file in OPTIONAL if not (folder / file).is_file()],
    )


def _listed(folder: Path, panels: Mapping[str, Any]) -> list[Shown]:
    names = [(folder / "panels" / Path(entry["panel"]).name, entry) for entry in panels.get("images", ())]
    return [Shown(panel, entry["path"], entry["score"], entry["label"]) for panel, entry in names if panel.is_file()]


def _as_chosen(folder: Path, images: Sequence[Mapping[str, str]]) -> list[Shown]:
    """Panels of a run that has not noted what they show: one process chose them from the images as they are listed."""
    panels = sorted((folder / "panels").glob("test-*.png"))
    spread: DisplaySampler[Mapping[str, str]] = DisplaySampler(max(1, len(panels)))
    for row in images:
        spread.offer(row["kind"], row["label"] == "1", lambda row=row: row)  # type: ignore[misc]
    chosen = spread.chosen()
    if len(chosen) != len(panels) or _processes(folder) != 1:
        return [Shown(panel) for panel in panels]
    return [
        Shown(panel, row["path"], float(row["score"]), row["label"] == "1")
        for panel, row in zip(panels, chosen, strict=True)
    ]


def _processes(folder: Path) -> int:
    """How many processes tested the run; 0 if that was left to the machine."""
    config = folder / "config.yaml"
    trainer = files.nested(files.read_mapping(config), config, "trainer") if config.is_file() else {}
    counts = [trainer.get(key, 1) for key in ("devices", "num_nodes")]
    return counts[0] * counts[1] if all(isinstance(count, int) for count in counts) else 0


def _json(path: Path) -> dict[str, Any]:
    """The content; nothing without the file."""
    return files.read_mapping(path) if path.is_file() else {}


def _lines(path: Path) -> list[dict[str, str]]:
    """The rows by column; none without the file."""
    return files.read_table(path) if path.is_file() else []


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    return {name: float(value or "nan") for name, value in row.items()}
