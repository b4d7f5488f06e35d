"""One run, read from its folder alone: what its tests have found, how it was set, and what it lacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomaly_diffusion import files
from anomaly_diffusion.names import COSTS, FIGURES, RUN_COSTS
from anomaly_diffusion.runs import run_folder

if TYPE_CHECKING:
    from anomaly_diffusion.runs.display import Picture
    from anomaly_diffusion.types import ImageResult

__all__ = [
    "DETECTION_LIMIT",
    "LIMITS",
    "PREDICTIONS",
    "TEXTS",
    "UNJUDGED",
    "UNSET",
    "VERDICTS",
    "Groups",
    "Run",
    "RunRecord",
    "finished_runs",
    "grouped",
    "predictions_of",
]

SUMMARY = "summary.json"
DETECTION_LIMIT = "detection_limit.json"
PREDICTIONS = "predictions.csv"
LIMITS = "limits.json"  # by which photographs were predicted
UNJUDGED = "unjudged.csv"  # files that could not be predicted
OPTIONAL = ("per_image.csv", "failures.csv", "failures.json", "panels/test.png", "tiles/", "depths.csv")
TEXTS = (run_folder.CONFIG, run_folder.SPLIT, SUMMARY, DETECTION_LIMIT, "panels/test.json", *OPTIONAL[:3], "depths.csv")
VERDICTS = "verdicts"  # of the lines of per_image.csv
UNSET = "not set"
_SHORT = 60  # characters of a setting's value in a name


@dataclass(frozen=True)
class RunRecord:
    """What a run or an evaluation has left in its folder; each file is read when it is first asked for.

    Whatever reads a run folder reads it here. A broken file is a `ValueError` that names it; a file that a run need not
    have is empty if it is missing, except `summary.json`.

    Args:
        folder: the run folder.
    """

    folder: Path

    def __repr__(self) -> str:
        return f"Run {self.folder.parent.name}/{self.folder.name}"

    @property
    def source(self) -> Path:
        """The folder of the run itself, resolved, also for an evaluation of it."""
        evaluation = run_folder.evaluation_of(self.folder)
        return evaluation[0] if evaluation else self.folder.resolve()

    @property
    def group(self) -> str:
        """The experiment; of an evaluation, with what was changed. Runs of one group differ in their seed only."""
        evaluation = run_folder.evaluation_of(self.folder)
        return self.source.parent.name + (f": {evaluation[1] or 'tested again'}" if evaluation else "")

    @property
    def name(self) -> str:
        """What tells it from others of its group: the run; of an evaluation, with its number."""
        folder = self.folder.resolve()
        return folder.name if folder == self.source else f"{self.source.name}/{folder.name}"

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`.

        Raises:
            FileNotFoundError: the run has not been tested.
            ValueError: a figure is no number.
        """
        path = self._file(SUMMARY)
        summary = files.read_mapping(path)
        for key in summary.keys() & (FIGURES | COSTS | RUN_COSTS).keys():
            if not isinstance(summary[key], int | float | None):
                raise ValueError(f"`{key}` in {path} must be a number, got {summary[key]!r}.")
        for control in files.nested(summary, path, "controls"):
            files.nested(summary, path, "controls", control)
        return summary

    @cached_property
    def test_set(self) -> str:
        """Names the set of images it was tested on, see `files.names_hash`; nothing if nobody knows."""
        noted = self.summary.get("test_set")
        path = self.folder / "per_image.csv"
        if noted is None and path.is_file():  # runs of before have not noted it
            return files.names_hash(row["path"] for row in files.read_table(path, ["path"]))
        return str(noted or "")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings, the content of `config.yaml`."""
        return self._mapping(run_folder.CONFIG)

    @cached_property
    def data_set(self) -> str:
        """What it was tested on, and at which size: "tile, 64 x 128"."""
        path = self.folder / run_folder.CONFIG
        data, dataset, settings = (
            files.nested(self.config, path, *keys)
            for keys in (["data"], ["data", "dataset"], ["data", "dataset", "init_args"])
        )
        called = settings.get("category") or settings.get("texture") or Path(str(settings.get("root") or "")).name
        called = called or str(dataset.get("class_path", "")).rpartition(".")[2]
        return ", ".join(filter(None, [_joined(called, ", "), _joined(data.get("image_size") or "", " x ")]))

    @cached_property
    def results(self) -> "list[ImageResult]":
        """Its test images, the lines of `per_image.csv`."""
        return self._images("per_image.csv")

    @cached_property
    def predictions(self) -> "list[ImageResult]":
        """The photographs that it has judged without knowing the truth, the lines of `predictions.csv`."""
        return self._images(PREDICTIONS)

    @cached_property
    def limits(self) -> dict[str, Any]:
        """By which limits these were judged and what the limits promise, the content of `limits.json`."""
        return self._mapping(LIMITS)

    @cached_property
    def unjudged(self) -> dict[str, str]:
        """What was wrong with each file that could not be judged, nor has been since: the lines of `unjudged.csv`."""
        path = self.folder / UNJUDGED
        rows = files.read_table(path, ["path", "problem"]) if path.is_file() else []
        judged = {result.path for result in self.predictions}
        return {row["path"]: row["problem"] for row in rows if row["path"] not in judged}

    @cached_property
    def measured(self) -> "dict[str, ImageResult]":
        """The same images with their `measures`, the lines of `failures.csv`, by path."""
        return {result.path: result for result in self._images("failures.csv")}

    def tested(self) -> "list[ImageResult]":
        """The results, for those who need some.

        Raises:
            ValueError: there are none.
        """
        if not self.results:
            raise ValueError(
                f"{self.folder} has no test results. Test it: anomaly-diffusion test --run_folder {self.folder}"
            )
        return self.results

    @cached_property
    def failures(self) -> dict[str, Any]:
        """What the measures amount to and which images are the worst, the content of `failures.json`."""
        return self._mapping("failures.json")

    @cached_property
    def detection_limit(self) -> dict[str, Any]:
        """Which sizes of painted defects it finds, the content of `detection_limit.json`."""
        return self._mapping(DETECTION_LIMIT)

    @cached_property
    def depths(self) -> list[dict[str, float]]:
        """Figures at each depth, the lines of `depths.csv`; NaN where nothing was measured."""
        path = self.folder / "depths.csv"
        rows = files.read_table(path) if path.is_file() else []
        try:
            return [{name: float(cell or "nan") for name, cell in row.items()} for row in rows]
        except ValueError as error:
            raise ValueError(f"{path} has a cell that is no number: {error}. Test the run again.") from None

    @cached_property
    def shown(self) -> "list[ImageResult]":
        """The test images that its pictures show, chosen by kind and place, as `results` has them."""
        from anomaly_diffusion.runs.image_results import COLUMNS, from_row

        path = self.folder / "panels" / "test.json"
        images = self._mapping("panels/test.json").get("images") or []
        if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
            raise ValueError(f"`images` in {path} must list the images that are shown, got {str(images)[:_SHORT]}.")
        told = [from_row({name: image[name] for name in COLUMNS if name in image}, path) for image in images]
        tested = {result.path: result for result in self.results}
        return [tested.get(result.path, result) for result in told]

    def tile(self, path: str, name: str) -> Path:
        """The file of one picture of an image of a test or prediction.

        Args:
            path: of the image, as in its result.
            name: "image", "reconstruction", "difference" or "anomaly_map"; of a method that compares features "image",
                "features", "normal_features" or "anomaly_map".
        """
        return self.folder / "tiles" / files.safe_name(path) / f"{name}.png"

    @property
    def missing(self) -> list[str]:
        """Which of its files it lacks, and its verdicts if it was tested before there were any."""
        absent = [name for name in OPTIONAL if not (self.folder / name).exists()]
        unjudged = bool(self.results) and all(result.verdict is None for result in self.results)
        return absent + [VERDICTS] * unjudged

    @cached_property
    def figures(self) -> dict[str, Any]:
        """All numbers of `summary.json` and `failures.json` by dotted names.

        For instance "pixel_ap", "controls.blurred_self.pixel_ap", "failures.normal.psnr.mean".

        Raises:
            FileNotFoundError: the run has not been tested.
        """
        return files.flat(self.summary) | files.flat(self.failures, "failures.")

    def setting(self, key: str) -> str:
        """A setting in a word, of an object its class; `UNSET` where there is none.

        Args:
            key: its dotted name, such as model.init_args.noise; "experiment" stands for that of the run.
        """
        if key == "experiment":
            return self.source.parent.name
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part, UNSET) if isinstance(value, dict) else UNSET
        if isinstance(value, dict) and "class_path" in value:
            value = str(value["class_path"]).rpartition(".")[2]
        return str(value)[:_SHORT]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a table of the run, "depths.csv" or "per_image.csv" say, numbers as numbers.

        Raises:
            FileNotFoundError: there is no such table.
            ValueError: it is no table.
        """
        rows = files.read_table(self._file(name))
        return [{key: _number_or_word(cell) for key, cell in row.items()} for row in rows]

    def picture(self, name: str, width: int = 900) -> "Picture":
        """A picture of the run, "panels/test.png" say.

        Args:
            name: path within the run folder.
            width: what it is shrunk to if it is wider, in pixels.

        Raises:
            FileNotFoundError: there is no such picture.
        """
        from anomaly_diffusion.runs.display import Picture

        return Picture(self._file(name).read_bytes(), width)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if path.is_file():
            return path
        known = sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob(f"*{path.suffix}"))
        raise FileNotFoundError(f"{self} holds no {name}. It holds: {', '.join(known) or 'no file of this kind'}.")

    def _mapping(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return files.read_mapping(path) if path.is_file() else {}

    def _images(self, name: str) -> "list[ImageResult]":
        path = self.folder / name
        if not path.is_file():
            return []
        from anomaly_diffusion.runs import image_results  # loads torch

        return image_results.read(path)


Run = RunRecord  # what notebooks call it
Groups = Mapping[str, Sequence[RunRecord]]


def finished_runs(path: Path) -> list[RunRecord]:
    """The finished runs at or one level below a folder, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(summary.parent for summary in [*path.glob(SUMMARY), *path.glob(f"*/{SUMMARY}")])
    if not found:
        raise FileNotFoundError(f"No finished run in {path}. Expected {path}/{SUMMARY} or {path}/*/{SUMMARY}.")
    return [RunRecord(folder) for folder in found]


def predictions_of(path: Path) -> list[RunRecord]:
    """The evaluations with predictions of a run, or of all runs of an experiment; one of them by itself."""
    below = ("", "*/", f"{run_folder.EVALUATIONS}/*/", f"*/{run_folder.EVALUATIONS}/*/")
    return [RunRecord(table.parent) for start in below for table in sorted(path.glob(start + PREDICTIONS))]


def grouped(runs: Sequence[RunRecord], name: Callable[[RunRecord], str]) -> dict[str, list[RunRecord]]:
    """Runs by the name of their group, in the order of their first runs."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(name(run), []).append(run)
    return groups


def _joined(value: Any, by: str) -> str:
    return by.join(map(str, value)) if isinstance(value, list) else str(value)


def _number_or_word(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell
