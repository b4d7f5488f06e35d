"""What settings must be where a library would refuse them late, without their name, or not at all."""

import importlib
import inspect
import os
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from jsonargparse import Namespace

from anomaly_diffusion.cli.user_errors import UsageError
from anomaly_diffusion.runs import run_folder

__all__ = ["check", "check_auto", "nulls", "on_cpu", "overruled"]

_FEW = 8  # processes that any machine may start to try things
_LAUNCHERS = ("WORLD_SIZE", "SLURM_NTASKS", "GROUP_RANK", "NODE_RANK")
_LOWER = "bf16-mixed"
_DURATION = re.compile(r"\d+:\d\d?:\d\d?:\d\d?")


@dataclass(frozen=True)
class Rule:
    """What one setting must be.

    Attributes:
        option: its name on the command line.
        must: the end of a sentence that begins "`option` must".
        holds: whether a value is allowed; null is no question.
    """

    option: str
    must: str
    holds: Callable[[Any], bool]


def _duration(value: Any) -> bool:
    return bool(value) if isinstance(value, Mapping | Namespace) else _DURATION.fullmatch(str(value)) is not None


def _interval(value: Any) -> bool:
    return value > 0 if isinstance(value, int | float) else _duration(value)


def _of_run_folder(what: str) -> str:
    return f"be left alone: {what}, where other commands find checkpoints"


def _never(value: Any) -> bool:
    return False


_RULES = (
    Rule("seed_everything", "lie in [0, 4294967295]", lambda seed: isinstance(seed, bool) or 0 <= seed < 2**32),
    Rule("trainer.accumulate_grad_batches", "be at least 1", lambda count: count >= 1),
    Rule("trainer.check_val_every_n_epoch", "be at least 1, or null", lambda count: count >= 1),
    Rule("trainer.default_root_dir", "be left alone: runs go below --runs_dir", _never),
    Rule("trainer.gradient_clip_val", "not be negative", lambda value: value >= 0),
    Rule("trainer.limit_train_batches", "be positive: nothing would be learnt", lambda limit: limit > 0),
    Rule("trainer.limit_val_batches", "be positive: validation calibrates", lambda limit: limit > 0),
    Rule("trainer.log_every_n_steps", "not be negative", lambda count: count >= 0),
    Rule(
        "trainer.logger", "name loggers beside metrics.csv, which is always written", lambda value: value is not False
    ),
    Rule("trainer.max_epochs", "be at least 1, or -1 for any number", lambda count: count == -1 or count >= 1),
    Rule("trainer.max_steps", "be at least 1, or -1 for any number", lambda count: count == -1 or count >= 1),
    Rule("trainer.max_time", "be DAYS:HOURS:MINUTES:SECONDS, as 00:00:15:00", _duration),
    Rule("trainer.min_epochs", "not be negative", lambda count: count >= 0),
    Rule("trainer.min_steps", "not be negative, or be null", lambda count: count >= 0),
    Rule("trainer.model_registry", "be left alone: no registry is used", _never),
    Rule("trainer.val_check_interval", "be a positive number or DAYS:HOURS:MINUTES:SECONDS", _interval),
    Rule("return_predictions", "be false: predictions.csv and maps/ hold them", lambda value: value is False),
    Rule("checkpoint.dirpath", _of_run_folder("it is the run folder"), _never),
    Rule("checkpoint.filename", _of_run_folder("it is `best`"), lambda name: name == run_folder.BEST.stem),
)

# what Lightning sets by itself where one of these is given
_OVERRULED = {
    "fast_dev_run": "max_steps, max_epochs, val_check_interval and the limits of batches",
    "overfit_batches": "limit_train_batches and limit_val_batches",
}


def overruled(trainer: Namespace) -> Iterator[str]:
    """Say which settings of the trainer others overrule; a line for each of those."""
    for name, others in _OVERRULED.items():
        if trainer[name]:
            yield f"`trainer.{name}` overrules {others} of the trainer."


def check(config: Namespace, gpus: int) -> None:
    """Refuse values that no run can have.

    Args:
        config: settings of a training or evaluation verb.
        gpus: accelerators that are here.

    Raises:
        UsageError: naming the setting and the rule.
    """
    for rule in _RULES:
        value = config.get(rule.option)
        if value is not None and not rule.holds(value):
            raise UsageError(f"`{rule.option}` must {rule.must}, got {value!r}.")
    _check_length(config.trainer)
    _check_least(config.trainer)
    _check_processes(config.trainer, gpus)


def on_cpu(trainer: Namespace, gpus: int) -> bool:
    """Whether a trainer works on the CPU."""
    return trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not gpus)


def check_auto(config: Namespace, begins: bool) -> None:
    """Refuse to choose an arithmetic where it is chosen already, or where several would choose.

    Args:
        config: settings of a training or evaluation verb.
        begins: whether a training begins, and does not go on.

    Raises:
        UsageError: saying what else to do.
    """
    if not config.get("acceleration.auto"):
        return
    trainer, instead = config.trainer, f"--trainer.precision {_LOWER} --acceleration.channels_last true"
    if not begins:
        told = "a run's arithmetic is chosen when its training begins, and its config.yaml says what was chosen"
    elif str(trainer.precision) not in ("32-true", "32"):
        told = f"`trainer.precision` is {trainer.precision} already"
    elif str(trainer.devices) not in ("1", "auto") or trainer.num_nodes > 1:
        told = f"each of several processes would choose for itself. Choose for them: {instead}"
    else:
        return
    raise UsageError(f"`acceleration.auto` must be false here: {told}.")


def _check_length(trainer: Namespace) -> None:
    epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
    if trainer.max_steps == -1 and epochs == -1 and not trainer.max_time and not trainer.fast_dev_run:
        raise UsageError(
            "`trainer.max_steps` or `trainer.max_epochs` must say how long training is, as the learning rate falls "
            "towards its end, got -1 for both. With `trainer.max_time` it stays as it is."
        )


def _check_least(trainer: Namespace) -> None:
    """Refuse a least number that the greatest overrules."""
    for unit in ("steps", "epochs"):
        least, most = trainer[f"min_{unit}"], trainer[f"max_{unit}"]
        if least is not None and most not in (None, -1) and least > most:
            raise UsageError(f"`trainer.min_{unit}` must be at most `trainer.max_{unit}`, {most}, got {least}.")


def _check_processes(trainer: Namespace, gpus: int) -> None:
    cpu = on_cpu(trainer, gpus)
    devices, text = trainer.devices, str(trainer.devices)
    if cpu and devices != "auto":
        limit = max(_FEW, os.cpu_count() or 1)
        if not text.isdecimal() or not 1 <= int(text) <= limit:
            raise UsageError(
                f"`trainer.devices` must be a number of processes from 1 to {limit} on this CPU, got {text}."
            )
    elif not cpu and not re.fullmatch(r"auto|-1|\[?\d+(, ?\d+)*,?\]?", text):
        raise UsageError(f"`trainer.devices` must be auto, a number, or numbers of devices, as 0,1, got {text}.")
    if trainer.num_nodes > 1 and not any(name in os.environ for name in _LAUNCHERS):
        raise UsageError(
            f"`trainer.num_nodes` must be 1 where no launcher has started this process, got {trainer.num_nodes}. "
            "Use torchrun or SLURM."
        )


def nulls(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Yield the settings below `path` that are null where their class wants a value; the parser lets them pass.

    Args:
        value: of the setting.
        hint: type of the argument, or the class whose arguments `value` holds.
        path: name of the setting.
    """
    if value is None:
        if not _admits_null(hint):
            yield path
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from nulls(item, Any, f"{path}[{number}]")
    elif isinstance(value, Namespace):
        inside = value.get("init_args", Namespace()) if "class_path" in value else value
        hints = _hints(_class_of(value, hint))
        for name, item in vars(inside).items():
            yield from nulls(item, hints.get(name, Any), f"{path}.{name}")


def _admits_null(hint: Any) -> bool:
    return hint in (Any, NoneType, None) or NoneType in typing.get_args(hint)


def _class_of(value: Namespace, hint: Any) -> Any:
    """The class that a setting is to become: the one it names, or that of its hint."""
    if "class_path" in value:
        module, _, name = value.class_path.rpartition(".")
        return getattr(importlib.import_module(module), name, None)
    return next((kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)), None)


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.getattr_static(cls, "__init__"))
    except (NameError, TypeError):  # of a library whose hints cannot be looked up
        return {}
