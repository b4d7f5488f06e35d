"""A folder of runs, sorted by what their names say: model, data set, what was changed, how many photographs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import SUMMARY, Groups, RunRecord, grouped

__all__ = ["CLASSICAL", "FOREIGN", "Study", "Trial", "read_study"]

CLASSICAL = ("padim", "patchcore")
FOREIGN = Path("foreign_prior") / "figures.json"  # of benchmarks/foreign_prior.py
_SWEEPS = "table_"
_COUNT, _DRAW = re.compile(r"n(\d+)"), re.compile(r"draw\d+")


@dataclass(frozen=True)
class Trial:
    """One tested run, or one evaluation of it.

    Attributes:
        run: itself.
        model: the first word of its experiment, such as "feature".
        data: the second word, the data set, with the size of its images where a study has several.
        changes: the stems of all further configs, in their order.
        photographs: how many normal photographs it was given; None where it had all.
    """

    run: RunRecord
    model: str
    data: str
    changes: tuple[str, ...] = ()
    photographs: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it is of the model as shipped, with all photographs."""
        return not self.changes and self.photographs is None

    @property
    def seed(self) -> str:
        """By which runs of two models are paired."""
        return str(self.run.summary.get("seed", self.run.source.name))

    def value(self, figure: str) -> float | None:
        """A figure or a cost of its summary; None where nobody measured it."""
        found = self.run.summary.get(figure)
        return None if found is None else float(found)


@dataclass(frozen=True)
class Study:
    """All trials of a folder.

    Args:
        trials: in the order of their folders.
        folder: where they are.
    """

    trials: Sequence[Trial]
    folder: Path

    @cached_property
    def data(self) -> list[str]:
        """Data sets with a model as shipped, those with most models first."""
        models: dict[str, set[str]] = {}
        for trial in self._plain:
            models.setdefault(trial.data, set()).add(trial.model)
        return sorted(models, key=lambda data: (-len(models[data]), data))

    @cached_property
    def compared(self) -> list[str]:
        """Data sets with several models, which figures show side by side; all of them where none has."""
        several = [data for data in self.data if len({t.model for t in self._plain if t.data == data}) > 1]
        return several or self.data

    @cached_property
    def models(self) -> list[str]:
        """Models as shipped, classical ones last."""
        found = dict.fromkeys(trial.model for trial in self._plain)
        return sorted(found, key=lambda model: (model in CLASSICAL, model))

    @cached_property
    def foreign(self) -> list[dict[str, Any]]:
        """The rows that `benchmarks/foreign_prior.py` has measured, if they are in the folder.

        Raises:
            ValueError: they are no rows.
        """
        path = self.folder / FOREIGN
        rows = files.read_mapping(path).get("rows") if path.is_file() else []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"`rows` in {path} must be a list of rows of figures. Measure them again.")
        return rows

    @cached_property
    def _plain(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.plain]

    def plain(self, data: str, model: str) -> list[Trial]:
        """The seeds of a model as shipped."""
        return [trial for trial in self._plain if (trial.data, trial.model) == (data, model)]

    def groups(self, data: str | None = None) -> Groups:
        """Runs of models as shipped by the name of their experiment, of one data set or of all."""
        chosen = [trial for name in self.data for trial in self._plain if trial.data == name and data in (None, name)]
        return grouped([trial.run for trial in chosen], lambda run: run.group)

    def changed(self, data: str, model: str, names: Iterable[str]) -> dict[str, list[Trial]]:
        """The seeds of each trial in which one of these configs, and nothing else, was added."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            if (trial.data, trial.model, trial.photographs) == (data, model, None) and len(trial.changes) == 1:
                found.setdefault(trial.changes[0], []).append(trial)
        return {name: found[name] for name in names if name in found}

    def few(self, data: str, model: str) -> dict[int, list[Trial]]:
        """Trials with so many photographs, fewest first."""
        found: dict[int, list[Trial]] = {}
        for trial in self.trials:
            if (trial.data, trial.model, trial.changes) == (data, model, ()) and trial.photographs is not None:
                found.setdefault(trial.photographs, []).append(trial)
        return dict(sorted(found.items()))


def read_study(folder: Path) -> Study:
    """Find every finished run `<model>-<data>[-nCOUNT][-drawN][-change...]/<run>`, and its evaluations.

    An evaluation without a change is left out: it repeats its run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a summary cannot be read.
    """
    places = f"*/*/{SUMMARY}", f"*/*/{run_folder.EVALUATIONS}/*/{SUMMARY}"
    summaries = [path for place in places for path in sorted(folder.glob(place))]
    named = [trial for path in summaries if (trial := _trial(RunRecord(path.parent)))]
    if not named:
        raise FileNotFoundError(
            f"No finished run in {folder}. Expected {folder}/<model>-<data>/<run>/{SUMMARY}, such as "
            f"{folder}/feature-tile/001/{SUMMARY}."
        )
    return Study([_sized(trial, named) for trial in named], folder)


def _trial(run: RunRecord) -> Trial | None:
    """What the names say; None for a folder that is named otherwise, or for a test that only repeats."""
    model, *rest = run.source.parent.name.removeprefix(_swept(run)).split("-")
    evaluation = run_folder.evaluation_of(run.folder)
    if not rest or (evaluation and not evaluation[1]) or "image_auroc" not in run.summary:
        return None
    data, *words = rest
    counts = [int(match[1]) for word in words if (match := _COUNT.fullmatch(word))]
    changes = [word for word in words if not _COUNT.fullmatch(word) and not _DRAW.fullmatch(word)]
    changes += evaluation[1].split("-") if evaluation else []
    return Trial(run, model, data, tuple(changes), counts[0] if counts else None)


def _swept(run: RunRecord) -> str:
    """What `make table` writes before the name of an experiment: its sweep."""
    first, _, rest = run.source.parent.name.partition("-")
    return f"{first}-" if first.startswith(_SWEEPS) and "-" in rest else ""


def _sized(trial: Trial, all_trials: Sequence[Trial]) -> Trial:
    """Images of two sizes, or other images, are two test sets, and are called so."""
    same = [other for other in all_trials if other.data == trial.data]
    if len({(_size(other), other.run.test_set) for other in same}) == 1:
        return trial
    told = [trial.data, _size(trial)]
    if len({other.run.test_set for other in same if _size(other) == _size(trial)}) > 1:
        told.append(f"test set {trial.run.test_set[:4]}")
    return replace(trial, data=", ".join(told))


def _size(trial: Trial) -> str:
    return trial.run.data_set.rpartition(", ")[2]
