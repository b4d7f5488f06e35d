"""What a resumed run changes: settings that can be changed are, those that cannot be are refused by name."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from torch.optim import Optimizer

from anomaly_diffusion import files
from anomaly_diffusion.data.split import Validation

__all__ = ["CHOSEN", "Change", "adapt", "changes", "note", "refuse", "saved", "settings_of"]

CHOSEN = "# Chosen:"
"""Begins the line of a config.yaml that says why a setting was chosen."""

_NOTE = "# Resumed"
_LEAST = "Start a new run for it."
_FIXED = {
    "seed_everything": "what the run has drawn so far follows from it",
    "experiment": "the run stays in its folder",
    "run": "the run stays in its folder",
    "optimizer.class_path": "what the old one has learnt means nothing to another",
    "lr_scheduler": "where the old one stands means nothing to another",
    "lr_scheduler.class_path": "where the old one stands means nothing to another",
    "data.validation.share": "who trains and who validates is decided, in split.json",
    "data.validation.at_least": "who trains and who validates is decided, in split.json",
    "data.validation.at_most": "who trains and who validates is decided, in split.json",
    "data.validation.seed": "who trains and who validates is decided, in split.json",
}
_SCHEDULE = "lr_scheduler.init_args."


class Change(NamedTuple):
    """A setting that is not what it was."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} {self.now} instead of {self.before}"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return which settings differ, by dotted names; one that was unknown before has its default, so does not.

    Args:
        before: content of a config.
        now: of another.
    """
    old, new = files.flat(before), files.flat(now)
    kept = [Change(key, value, new[key]) for key, value in old.items() if key in new and new[key] != value]
    gone = (key for key, value in old.items() if key not in new and value is None)
    return kept + [Change(key, None, "given") for key in gone if any(name.startswith(f"{key}.") for name in new)]


def refuse(changed: Iterable[Change]) -> None:
    """Refuse settings that cannot be changed any more.

    Raises:
        ValueError: naming each of them.
    """
    wrong = [(change, _FIXED[change.key]) for change in changed if change.key in _FIXED]
    if wrong:
        told = "\n".join(f"`{change.key}` must stay {change.before}, got {change.now}: {why}." for change, why in wrong)
        raise ValueError(f"{told}\nA resumed run cannot change this. {_LEAST}")


def note(path: Path, header: str, content: str, changed: Iterable[Change], step: int) -> None:
    """Write the settings that hold from now on, and what they were, into a run's config.yaml."""
    old = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith((CHOSEN, _NOTE))]
    lines = [header, *old, f"{_NOTE} at step {step} with {'; '.join(map(str, changed))}.", content]
    files.write(path, "\n".join(lines))


def settings_of(optimizers: Iterable[Optimizer]) -> list[dict[str, Any]]:
    """Return the class of each optimiser and what it was made with, to be kept in checkpoints."""
    return [{"class": type(optimizer).__name__, "defaults": dict(optimizer.defaults)} for optimizer in optimizers]


def adapt(trainer: Trainer, before: list[dict[str, Any]], changed: Iterable[Change]) -> None:
    """Give restored optimisers and schedules what they were made with in this process, where that has changed.

    What restored them has put back the old values. A learning rate goes on at the same share of its new base as it
    was of the old one.

    Args:
        trainer: has them.
        before: what `settings_of` told when the checkpoint was written; nothing for one of an earlier version.
        changed: settings that are not what they were.

    Raises:
        ValueError: an optimiser is of another kind than before, or a schedule cannot be changed on its way.
    """
    for number, optimizer in enumerate(trainer.optimizers):
        old = before[number] if number < len(before) else _as_restored(optimizer)
        if old["defaults"].keys() != optimizer.defaults.keys():
            raise ValueError(
                f"`optimizer` must stay {old['class']}, got {type(optimizer).__name__}: what the old one has learnt "
                f"means nothing to another. A resumed run cannot change this. {_LEAST}"
            )
        for name, value in optimizer.defaults.items():
            if value != old["defaults"][name]:
                _set(trainer, optimizer, name, old["defaults"][name], value)
    for change in changed:
        if change.key.startswith(_SCHEDULE):
            _set_schedule(trainer, change)


def _as_restored(optimizer: Optimizer) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    known = {**group, "lr": group.get("initial_lr", group.get("lr"))}
    names = optimizer.defaults.keys() & known.keys()
    return {"class": "another", "defaults": {name: known[name] for name in names}}


def _set(trainer: Trainer, optimizer: Optimizer, name: str, before: Any, now: Any) -> None:
    for group in optimizer.param_groups:
        if name != "lr":
            group[name] = now
            continue
        group["lr"] = group["lr"] * (now / before) if before else now
        if "initial_lr" in group:
            group["initial_lr"] = now
    for config in trainer.lr_scheduler_configs:
        schedule: Any = config.scheduler
        if name == "lr" and schedule.optimizer is optimizer and hasattr(schedule, "base_lrs"):
            schedule.base_lrs = [now for _ in schedule.base_lrs]


def _set_schedule(trainer: Trainer, change: Change) -> None:
    name = change.key.removeprefix(_SCHEDULE)
    for config in trainer.lr_scheduler_configs:
        if not isinstance(change.now, bool | int | float | str) or name not in vars(config.scheduler):
            raise ValueError(
                f"`{change.key}` must stay {change.before}, got {change.now}: it is part of where the schedule stands. "
                f"A resumed run cannot change this. {_LEAST}"
            )
        setattr(config.scheduler, name, change.now)


def saved(content: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run's config.yaml, with what null stands for where that is known."""
    data = content.get("data")
    if isinstance(data, dict) and data.get("validation", "") is None:
        data["validation"] = asdict(Validation())  # what null stands for
    return content
