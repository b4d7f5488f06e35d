"""Reads the sweep files of W&B, and lists the trials that they ask for."""

import itertools
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_diffusion import files
from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["SEED", "Sweep", "Trial", "read"]

SEED = "seed_everything"
_KEYS = ("program", "method", "metric", "command", "parameters", "name", "description", "project")
_METHODS = ("grid", "random")
_PROGRAM = "anomaly-diffusion"
_MOST = 10_000  # trials that are listed before the first begins
_LONGEST = 80  # characters of a folder's name
Values = Mapping[str, Any]

# distribution -> a draw from its settings
_DRAWS: dict[str, Callable[[random.Random, Values], Any]] = {
    "uniform": lambda dice, has: dice.uniform(has["min"], has["max"]),
    "int_uniform": lambda dice, has: dice.randint(has["min"], has["max"]),
    "q_uniform": lambda dice, has: round(dice.uniform(has["min"], has["max"]) / has.get("q", 1)) * has.get("q", 1),
    "log_uniform_values": lambda dice, has: math.exp(dice.uniform(math.log(has["min"]), math.log(has["max"]))),
    "categorical": lambda dice, has: dice.choice(has["values"]),
    "constant": lambda dice, has: has["value"],
}


@dataclass(frozen=True)
class Trial:
    """One training: a choice for each parameter.

    Attributes:
        parameters: name -> value, in the order of the file.
    """

    parameters: Values

    @property
    def experiment(self) -> str:
        """A folder's name that says what was chosen, the seed apart: trials that share it are seeds of one another."""
        chosen = [_word(name, value) for name, value in self.parameters.items() if name != SEED]
        return "-".join(chosen)[:_LONGEST] or "trial"

    @property
    def run(self) -> str:
        """The name of the run's own folder."""
        return f"seed{self.parameters.get(SEED, 0)}"

    @property
    def arguments(self) -> list[str]:
        """What `${args}` stands for."""
        return [f"--{name}={value}" for name, value in self.parameters.items()]


@dataclass(frozen=True)
class Sweep:
    """What a sweep file asks for.

    Attributes:
        name: of the file.
        method: grid or random.
        metric: a figure of validation.
        ascending: whether less is better.
        command: the words of the command, macros of W&B among them.
        parameters: name -> how its values are found.
    """

    name: str
    method: str
    metric: str
    ascending: bool
    command: list[str]
    parameters: Mapping[str, Values]

    def trials(self, count: int | None = None, seed: int = 0) -> list[Trial]:
        """All combinations of a grid, or some random ones; the same for the same seed.

        Args:
            count: how many, at most; a random sweep has no end of its own.
            seed: of the draws.

        Raises:
            ValueError: a random sweep without `count`, or so many that no one means them.
        """
        if count is not None and not 1 <= count <= _MOST:
            raise UsageError(f"`--count` must be a number of trials from 1 to {_MOST}, got {count}.")
        if self.method == "grid":
            return list(self._grid())[:count]
        if count is None:
            raise ValueError("`--count` must say how many trials a random sweep has, got none. For instance --count 10")
        dice = random.Random(seed)
        return [Trial({name: _draw(dice, has) for name, has in self.parameters.items()}) for _ in range(count)]

    def words(self, trial: Trial) -> list[str]:
        """The words after the name of the program."""
        words = self.command[self.command.index(_PROGRAM) + 1 :]
        return [new for word in words for new in (trial.arguments if word == "${args}" else [word])]

    def _grid(self) -> Iterator[Trial]:
        choices = [has["values"] if "values" in has else [has["value"]] for has in self.parameters.values()]
        for values in itertools.product(*choices):
            yield Trial(dict(zip(self.parameters, values, strict=True)))


def read(path: Path) -> Sweep:
    """Return what a sweep file asks for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it asks for something that only W&B's own agent can do, or for a choice by test images.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no sweep file {path}. Shipped ones: anomaly-diffusion list experiments")
    content = files.read_mapping(path)
    _check(path, content)
    metric = content.get("metric") or {"name": "val/pixel_ap", "goal": "maximize"}
    ascending = metric.get("goal", "minimize") == "minimize"  # W&B's own default
    parameters = {name: has if isinstance(has, dict) else {"value": has} for name, has in content["parameters"].items()}
    _check_parameters(path, content["method"], parameters)
    words = [str(word) for word in content["command"]]
    return Sweep(path.stem, content["method"], metric["name"], ascending, words, parameters)


def _check(path: Path, content: Values) -> None:
    unknown = [key for key in content if key not in _KEYS]
    if unknown:
        raise ValueError(f"{path}: `{unknown[0]}` must be one of {', '.join(_KEYS)}; others need wandb agent.")
    if content.get("method") not in _METHODS:
        raise ValueError(f"{path}: `method` must be grid or random, got {content.get('method')}. Others: wandb agent.")
    if not isinstance(content.get("parameters"), dict) or not content["parameters"]:
        raise ValueError(f"{path}: `parameters` must name what varies, got {content.get('parameters')}.")
    command = content.get("command")
    if not isinstance(command, list) or _PROGRAM not in command or "${args}" not in command:
        raise ValueError(f"{path}: `command` must be a list with {_PROGRAM} and ${{args}} in it, got {command}.")
    macros = [word for word in command if str(word).startswith("${") and word not in ("${env}", "${args}")]
    if macros:
        raise ValueError(f"{path}: `command` must not use {macros[0]}: only ${{env}} and ${{args}} work offline.")
    metric = content.get("metric") or {"name": "val/pixel_ap"}
    name = metric.get("name") if isinstance(metric, dict) else None
    if not str(name).startswith("val/"):
        raise ValueError(f"{path}: `metric.name` must be a figure of validation, such as val/pixel_ap, got {name}.")


def _check_parameters(path: Path, method: str, parameters: Mapping[str, Values]) -> None:
    for name, has in parameters.items():
        listed = "value" in has or (isinstance(has.get("values"), list) and has["values"])
        if not listed and method == "grid":
            raise ValueError(f"{path}: `{name}` must have `value` or `values` in a grid, got {dict(has)}.")
        if not listed and (_distribution(has) not in _DRAWS or not {"min", "max"} <= set(has)):
            known = ", ".join(_DRAWS)
            raise ValueError(f"{path}: `{name}` must have values, or min, max and one of {known}, got {dict(has)}.")


def _distribution(has: Values) -> str:
    if "value" in has:
        return "constant"
    if "values" in has:
        return "categorical"
    whole = all(isinstance(has.get(end), int) for end in ("min", "max"))
    return str(has.get("distribution", "int_uniform" if whole else "uniform"))


def _draw(dice: random.Random, has: Values) -> Any:
    return _DRAWS[_distribution(has)](dice, has)


def _word(name: str, value: Any) -> str:
    """A choice in a word: of files their stems, of anything else its name as well."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    stems = "-".join(Path(file).stem for file in text.split(","))
    word = stems if text.endswith(".yaml") else f"{name.rpartition('.')[2]}_{text}"
    return re.sub(r"[^\w.+-]+", "_", word)
