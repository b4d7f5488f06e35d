"""Every setting of the program with its edge values, as the program itself names them."""

import random
import re
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from program import TINY

from anomaly_diffusion.cli import listing

HUGE = "1000000000"
EDGES = ("0", "1", "-1", HUGE, "null", "", "[]", "{}", "wrong", "true", "false", ".nan", ".inf")
LONGEST = 15  # lines of a refusal
START = ("train", "--config", "tiny.yaml")
EVALUATIONS = ("validate", "test", "predict")
RUN = "runs/tiny/base"
SMALLEST = {
    **TINY,
    "trainer": {**TINY["trainer"], "max_steps": 2, "val_check_interval": 1},
    "data": {
        **TINY["data"],
        "dataset": {"class_path": "Textures", "init_args": {"train": 8, "test": 4, "validation": 4, "crop": 16}},
    },
}
_OPTION = re.compile(r"^  (?:-\w(?: \S+)?, )?--([\w.]+)", re.MULTILINE)
_HEADER = "# anomaly-diffusion"  # of a config that is printed; notes on the way to it come before
_ASKS = {"config", "help", "help_full", "print_config", "resume", "debug"}  # no settings: they ask for something else
LONG = {"acceleration.compile"}  # a minute and more on one core
_FREE = {"experiment", "run", "runs_dir"}  # any name of a folder will do

# where an object of each kind goes in a run
PLACES = {
    "backbones": "model.init_args.backbone",
    "schedules": "model.init_args.schedule",
    "parametrisations": "model.init_args.parametrisation",
    "noises": "model.init_args.noise",
    "weightings": "model.init_args.objective.init_args.weighting",
    "strategies": "model.init_args.reconstruction",
    "depths": "model.init_args.reconstruction.init_args.depths",
    "poolings": "model.init_args.scoring.init_args.pooling",
    "datasets": "data.dataset",
}

# what some of them cannot do without
NEEDED = defaultdict[str, tuple[str, ...]](
    tuple,
    {
        "NoiseBank": ("source=GaussianNoise",),
        "MixtureNoise": ("sources=[GaussianNoise, SimplexNoise]", "shares=[0.5, 0.5]"),
        "Folder": ("root=photographs", "normal=good"),
        "Images": ("root=photographs/good",),
        "MVTecAD": ("category=part",),
        "MVTecLOCO": ("category=part",),
        "Tabular": ("root=samples.csv",),
    },
)

Run = Callable[..., tuple[int, str]]


class Case(NamedTuple):
    """One command line.

    Attributes:
        option: what is set, for instance `data.batch_size`.
        value: to what, as typed.
        words: the whole command line.
    """

    option: str
    value: str
    words: tuple[str, ...]


class Tree:
    """The settings of a program that answers `--help_full` and `--print_config`, and the cases made of them.

    Args:
        run: carries out a command line; `tiny.yaml` and the run `RUN` must be there.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.config = self._leaves("--config", "tiny.yaml")

    def training(self) -> Iterator[Case]:
        """Every setting of `train`: options of its help, and what its config holds below them."""
        for option in self._options("train", "--help_full"):
            yield from _cases(option, None, *START)
        for option, value in self.config.items():
            yield from _cases(option, value, *START)

    def classes(self) -> Iterator[Case]:
        """Every class that `list` knows and a tiny run has a place for, with each of its settings."""
        for kind, place in PLACES.items():
            for entry in listing.members(listing.KINDS[kind]):
                chosen = (
                    f"--{place}={entry.name}",
                    *(f"--{place}.init_args.{setting}" for setting in NEEDED[entry.name]),
                )
                start = ("predict", "--run_folder", RUN) if entry.name == "Images" else START
                yield Case(place, entry.name, (*start, *chosen))
                for option, value in self._added("--config", "tiny.yaml", *chosen):
                    yield from _cases(option, value, *start, *chosen)

    def overlays(self, files: list[str]) -> Iterator[Case]:
        """Every setting that shipped experiments add to a tiny run."""
        for file in files:
            chosen = "--config", "tiny.yaml", "--config", file
            for option, value in self._added(*chosen):
                yield from _cases(option, value, "train", *chosen)

    def evaluations(self) -> Iterator[Case]:
        """Every setting of the other verbs of a trained run."""
        for verb in EVALUATIONS:
            for option in self._options(verb, "--help_full"):
                yield from _cases(option, None, verb, "--run_folder", RUN)
            for option, value in self.config.items():
                yield from _cases(option, value, verb, "--run_folder", RUN)

    def others(self) -> Iterator[Case]:
        """The options and places of the verbs that train nothing."""
        usual = {
            "doctor": ("photographs",), "compare": (RUN,), "report": (RUN,), "checks": (), "list": (),
            "paper": ("runs",),
            "sweep": ("sweep.yaml", "--dry_run", "--count=2"), "tiny_pipeline": ("pipeline",), "data": ("list",),
            "detection_limit": ("--run_folder", RUN, "--families", "pit", "--defects", "60"),
            "export": ("--run_folder", RUN, "--output", "exported.onnx"),
            "choose": (RUN, "--among", "ablation/one_shot_noisy.yaml", "--paintings=1"),
        }  # fmt: skip
        for verb, words in usual.items():
            yield Case(verb, "", (verb, *words))
            yield from (Case(edge, edge, (verb, edge, *words[1:])) for edge in (*EDGES, "tiny.yaml"))
            for option in self._options(verb, "--help"):
                yield from _cases(option, None, verb, *words)

    def pairs(self, count: int, seed: int = 0) -> Iterator[Case]:
        """Two settings at once, each with one of its edge values."""
        generator, cases = random.Random(seed), list(self.training())
        for _ in range(count):
            first, second = generator.sample(cases, 2)
            option, value = f"{first.option} {second.option}", f"{first.value} {second.value}"
            yield Case(option, value, (*first.words, *second.words[len(START) :]))

    def _options(self, verb: str, question: str) -> list[str]:
        status, said = self.run(verb, question)
        assert status == 0, said
        found = dict.fromkeys(_OPTION.findall(said))
        return [name for name in found if name not in _ASKS | _FREE and not name.endswith(".help")]

    def _leaves(self, *words: str) -> dict[str, Any]:
        status, said = self.run("train", *words, "--print_config")
        return dict(leaves(yaml.safe_load(said[said.index(_HEADER) :]))) if status == 0 else {}

    def _added(self, *words: str) -> list[tuple[str, Any]]:
        """What is in a config and not in that of the tiny run."""
        return [(option, value) for option, value in self._leaves(*words).items() if option not in self.config]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a config that holds no others, with its value."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for name, item in value.items():
        yield from leaves(item, f"{path}.{name}".lstrip("."))


def judged(case: Case, status: int, said: str) -> str:
    """What is wrong with the way in which a command ended; nothing if it ended well, or with one message.

    A message names what was set, and the rule.
    """
    lines = said.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith(("error", "usage:"))), None)
    message = "\n".join(lines[first:]) if first is not None else ""
    if "Traceback" in said:
        return "a traceback"
    if status == -signal.SIGALRM and (HUGE in case.value or case.option in LONG):
        return ""  # it was asked for so much, and does it
    if status < 0:
        return f"ended by signal {-status}"
    findings = case.words[0] == "doctor" and status == 1 and first is None  # are what it was asked for
    if (status == 0) != (first is None) and not findings:
        return f"status {status} with {'a' if message else 'no'} message"
    if len(message.splitlines()) >= LONGEST:
        return "a long message"
    overflow = HUGE in case.value and re.search("no finite number|must be numbers, got NaN", message)
    if status and not findings and not overflow and not any(name in message for name in _names(case.option)):
        return "a message that does not name the setting"
    return ""


def _names(options: str) -> list[str]:
    """What a message may call one of some settings."""
    inner = [option.removesuffix(".class_path").rpartition(".")[2] for option in options.split(" ")]
    return [spelt for name in inner if name for spelt in (name.rstrip("s"), name.replace("_", " "))] or [""]


def _cases(option: str, value: Any, *words: str) -> Iterator[Case]:
    for edge in _edges(value):
        end = ("--trainer.max_time=00:00:00:03",) if words[0] == "train" and HUGE in edge else ()
        yield Case(option, edge, (*words, *end, f"--{option}={edge}"))


def _edges(value: Any) -> list[str]:
    """Edge values of a setting: of a list, also lists of as many edge values."""
    lists = [f"[{','.join([edge] * len(value))}]" for edge in EDGES[:4]] if isinstance(value, list) and value else []
    return [*EDGES, *lists]
