"""The appendix: every run with its costs and its command, and of which runs each figure is."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from anomaly_diffusion.names import COSTS, FIGURES
from anomaly_diffusion.report.paper.section import Drawn, Section
from anomaly_diffusion.report.paper.sections.main_result import result_rows
from anomaly_diffusion.report.paper.study import Study, Trial
from anomaly_diffusion.runs.tables import Grid

__all__ = ["appendix", "as_markdown", "portable"]

_PLACES = ("--runs_dir", "--wandb.mode", "--trainer.enable_progress_bar")  # change no figure
_HEADS = [*FIGURES.values(), *COSTS.values(), "peak MB"]


def appendix(study: Study, sections: Mapping[str, Section]) -> dict[str, Any]:
    """All figures of models as shipped, all runs, and the runs of each figure."""
    figures = {name: drawn for section in sections.values() for name, drawn in section.figures.items()}
    return {
        "heads": _HEADS,
        "results": result_rows(study, list(FIGURES)),
        "runs": [_run(trial) for trial in study.trials],
        "figures": {name: _of(drawn) for name, drawn in figures.items()},
    }


def as_markdown(told: Mapping[str, Any], sections: Mapping[str, Section]) -> str:
    """The same as a page of Markdown, with the table of detection limits."""
    parts = [
        "# Appendix, generated from run files",
        "Written by `make report`, so not by hand. Mean ± standard deviation over runs that differ in their seed; "
        "what the figures mean: report/README.md.",
        "## Every figure of the models as shipped",
        _grid(["set", "model", "runs", *told["heads"]], _result_lines(told["results"])),
    ]
    if "detectable" in sections:
        limits = sections["detectable"].data
        rows = [[row["data"], row["model"], *row["cells"]] for row in limits["rows"]]
        parts += ["## Detection limits", _LIMITS, _grid(["set", "model", *limits["families"]], rows)]
    if "parts" in sections:
        columns = ("data", "model", "change", "pairs", "pixel_ap", "aupro")
        rows = [[str(row[column]) for column in columns] for row in sections["parts"].data["rows"]]
        parts += ["## What each part is worth", _PARTS, _grid(["set", *columns[1:4], "pixel AP", "AUPRO"], rows)]
    heads = ["run", "seed", "NFE", "s/image", "train s", "peak MB", "parameters", "command"]
    runs = [
        [run[head] for head in ("run", "seed", "nfe", "seconds", "train", "memory", "parameters")]
        for run in told["runs"]
    ]
    commands = [f"`{run['command']}`" for run in told["runs"]]
    table = _grid(heads[:-1], runs).splitlines()
    lines = [f"{line} {cell} |" for line, cell in zip(table, ["command", "---", *commands], strict=True)]
    return "\n\n".join([*parts, "## Runs", "\n".join(lines)]) + "\n"


_LIMITS = (
    "Width of painted defects of which 90 % are found, share of the shorter side; in brackets the share found where no "
    "painted width is found so often; a dash where none can be painted."
)
_PARTS = (
    "A model with one thing changed less the model as shipped, over pairs of runs of the same seed; in brackets 95 % "
    "for other seeds on the same images. One pair has no interval, and proves nothing."
)


def portable(command: str) -> str:
    """The command without what is of one machine only: folders of its own become their last two parts."""
    words = shlex.split(command)
    words = ["anomaly-diffusion", *words[3:]] if words[1:3] == ["-m", "anomaly_diffusion"] else words
    kept = [
        word
        for place, word in enumerate(words)
        if word not in _PLACES and (not place or words[place - 1] not in _PLACES)
    ]
    return shlex.join(map(_relative, kept))


def _relative(word: str) -> str:
    option, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = PurePath(value)
    if not path.is_absolute():
        return word
    return option + sign + (path.name if path.suffix == ".yaml" else "/".join(path.parts[-2:]).lstrip("/"))


def _run(trial: Trial) -> dict[str, Any]:
    summary = trial.run.summary
    return {
        "run": f"{trial.run.group}/{trial.run.name}",
        "seed": trial.seed,
        "nfe": _number(summary.get("nfe")),
        "seconds": _number(summary.get("seconds_per_image"), 3),
        "train": _number(summary.get("train_seconds")),
        "memory": _number(summary.get("peak_memory_mb")),
        "parameters": _number(summary.get("parameters")),
        "command": portable(str(summary.get("command") or "")),
    }


def _of(drawn: Drawn) -> dict[str, Any]:
    if drawn.source:
        source = drawn.source
        return {"runs": source.runs, "seeds": ", ".join(source.seeds), "groups": source.name}
    groups = sorted({trial.run.group for trial in drawn.trials})
    seeds = sorted({trial.seed for trial in drawn.trials})
    return {"runs": len(drawn.trials), "seeds": ", ".join(seeds), "groups": ", ".join(groups)}


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def _result_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    for row in rows:
        yield [row["data"], row["model"], str(row["runs"]), *row["cells"], *row["costs"]]


def _grid(heads: Sequence[str], rows: Iterator[list[str]] | Sequence[Sequence[str]]) -> str:
    lines = list(rows)
    return Grid(heads, lines, quiet=frozenset(range(len(lines)))).markdown().rstrip()
