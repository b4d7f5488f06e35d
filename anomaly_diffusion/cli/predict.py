"""predict PHOTOGRAPH...: verdicts of a finished run, without a trainer, one line each as they come."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from anomaly_diffusion import files
from anomaly_diffusion.cli import user_errors
from anomaly_diffusion.cli.parsing.arguments import prepare
from anomaly_diffusion.names import EXPORTED
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import LIMITS, PREDICTIONS, UNJUDGED

if TYPE_CHECKING:
    from anomaly_diffusion.deploy.found_photographs import Bad
    from anomaly_diffusion.deploy.predicting.predictor import Predictor, Taken
    from anomaly_diffusion.runs.predictions import Predictions
    from anomaly_diffusion.verdict_records import ImageResult

_TOGETHER = 4  # photographs that are judged side by side: no more fit into a part on a CPU
_OF_TRAINER = (  # first words of settings of a run, which only the trainer's way of predicting knows
    *("data", "model", "trainer", "optimizer", "lr_scheduler", "config", "c", "ckpt_path", "wandb", "seed_everything"),
    *("print_config", "help_full", "experiment", "run", "ema", "card", "verdicts", "metrics", "panels", "checkpoint"),
    *("acceleration", "painted", "saturated", "depths", "trajectories", "fidelity", "failures", "return_predictions"),
)


def main(arguments: list[str]) -> int:
    """Judge photographs; the data of a run, or settings on top of it, are judged by a trainer as a test is."""
    known = [word for action in _parser()._actions for word in action.option_strings]
    options = [word.partition("=")[0] for word in arguments if word.startswith("-") and word != "-"]
    settings = [word for word in options if word not in known]
    if any(word.lstrip("-").partition(".")[0] in _OF_TRAINER for word in settings):
        return _by_trainer(arguments)
    if settings:
        raise user_errors.UsageError(
            f"`{settings[0]}` is no option of predict.{user_errors.closest(settings[0], known)}"
        )
    chosen = _parser().parse_args(arguments)
    if chosen.photographs or chosen.watch:
        return _by_inspector(_checked(chosen))
    if Path(chosen.run_folder).suffix in EXPORTED:
        raise user_errors.UsageError(f"{chosen.run_folder} knows no data of its own: name photographs, or --watch.")
    return _by_trainer(arguments)


def _by_trainer(arguments: list[str]) -> int:
    request = prepare("predict", arguments)  # wrong paths are told before torch is imported
    from anomaly_diffusion.cli.parsing import lightning_cli

    return lightning_cli.main(request)


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    """Refuse what cannot be done before anything is loaded."""
    if options.false_alarms is not None and not 0 < options.false_alarms < 1:
        raise user_errors.UsageError(f"`--false_alarms` must lie in (0, 1), got {options.false_alarms}.")
    if options.watch and options.photographs:
        raise user_errors.UsageError("`--watch` takes the photographs that arrive in its folder: name no others.")
    if options.watch and not options.watch.is_dir():
        raise user_errors.UsageError(f"`--watch` must be a folder, got {options.watch}.")
    output = options.output
    if output not in (None, "-") and Path(output).suffix not in (".csv", ".jsonl"):
        raise user_errors.UsageError(f"`--output` must end in .csv or .jsonl, or be -, got {output}.")
    if options.json and output != "-":
        raise user_errors.UsageError("`--json` is for `--output -`. For a file of JSON lines: --output FILE.jsonl")
    exists = output not in (None, "-") and Path(output).exists()
    if exists and not (options.append or options.watch):
        raise user_errors.UsageError(
            f"`--output` {output} exists. Name another file, or go on with it by --append, which judges nothing twice."
        )
    return options


def _by_inspector(options: argparse.Namespace) -> int:
    start = time.perf_counter()
    predictor, place = _predictor(options)
    from anomaly_diffusion.runs.predictions import Predictions

    output = sys.stdout if options.output == "-" else Path(options.output) if options.output else place / PREDICTIONS
    unjudged = None
    if options.output is None:
        files.write_json(place / LIMITS, predictor.limits)
        unjudged = place / UNJUDGED
    with Predictions(output, options.json) as table:
        work = _Work(predictor, table, unjudged, sys.stderr if options.output == "-" else sys.stdout)
        try:
            alone = options.watch or "-" in options.photographs  # which may be long in coming
            work.carry_out(_found(options, table.done), 1 if alone else _TOGETHER)
        except KeyboardInterrupt:
            if not options.watch:
                raise
        finally:
            sheet = predictor.finish()
    work.sum_up(time.perf_counter() - start, None if options.output == "-" else output)
    if sheet is not None:
        print(f"pictures: {sheet}", file=work.told)
    return 1 if work.bad else 0


def _predictor(options: argparse.Namespace) -> "tuple[Predictor, Path]":
    """What judges, an ONNX file without torch, and the folder of what is written."""
    from anomaly_diffusion.deploy.exporting.inspector_of_file import of_file

    exported = of_file(options.run_folder, options.false_alarms, options.device, category=options.category)
    if exported is not None:
        from anomaly_diffusion.deploy.predicting.file_predictor import FilePredictor

        place = _place(options, Path(options.run_folder).parent)
        return FilePredictor(exported, place, options.masks, options.overlays), place
    folder = run_folder.find(options.run_folder, options.runs_dir)
    from anomaly_diffusion.deploy.inspector import Inspector
    from anomaly_diffusion.deploy.predicting.run_predictor import RunPredictor
    from anomaly_diffusion.deploy.prediction_pictures import PredictionPictures
    from anomaly_diffusion.engine.lightning_internals import quieten

    quieten()
    inspector = Inspector(folder, options.false_alarms, options.device, category=options.category)
    place = _place(options, folder)
    drawn = options.output is None or options.masks or options.overlays
    pictures = PredictionPictures(inspector, place, options.masks, options.overlays) if drawn else None
    return RunPredictor(inspector, pictures), place


def _place(options: argparse.Namespace, folder: Path) -> Path:
    """The folder of what is written: beside a named table, or an evaluation of the run."""
    if options.output not in (None, "-"):
        return Path(options.output).parent
    if options.output == "-" and not (options.watch or options.masks or options.overlays):
        return folder
    if not (folder / run_folder.CONFIG).is_file():
        raise user_errors.UsageError(
            f"{options.run_folder} lies in no run folder, which would take the files: name a place by --output FILE.csv"
        )
    if options.watch:
        return folder / run_folder.EVALUATIONS / f"watch-{files.safe_name(str(options.watch.resolve()))}"
    return run_folder.claim_evaluation(folder, "predict")


def _found(options: argparse.Namespace, done: set[str]) -> "Iterator[Path | Bad]":
    """The photographs that were asked for, but for those in the table."""
    from anomaly_diffusion.deploy.found_photographs import Arrivals, photographs

    if options.watch:
        print(f"Watching {options.watch}; Ctrl-C ends it.", file=sys.stderr, flush=True)
        return iter(Arrivals(options.watch, done))
    named = photographs(options.photographs, sys.stdin)
    return (one for one in named if not isinstance(one, Path) or one.as_posix() not in done)


@dataclass
class _Work:
    """Judges photographs in the order in which they come, and counts.

    Attributes:
        predictor: that judges.
        table: where results go.
        unjudged: the file that lists what could not be judged; None: none does.
        told: where lines for people go.
    """

    predictor: "Predictor"
    table: "Predictions"
    unjudged: Path | None
    told: TextIO
    judged: int = 0
    defective: int = 0
    drifted: int = 0
    bad: int = 0

    def carry_out(self, found: "Iterable[Path | Bad]", together: int) -> None:
        """Judge all photographs, so many side by side."""
        readable = self._readable(found)
        while some := list(islice(readable, min(together, self.predictor.at_once))):
            self._judge(some)

    def sum_up(self, seconds: float, output: Path | TextIO | None) -> None:
        """Say what came of it."""
        counts = [f"{self.defective} defective"] + ([f"{self.drifted} unlike any seen"] if self.drifted else [])
        line = f"judged {self.judged} photographs in {seconds:.1f} s: {', '.join(counts)}"
        line += f"; {self.bad} could not be judged" if self.bad else ""
        print(line + (f"\n{output}" if output else ""), file=self.told, flush=True)

    def _readable(self, found: "Iterable[Path | Bad]") -> "Iterator[Taken]":
        from anomaly_diffusion.data.reading.photographs import BadImages
        from anomaly_diffusion.deploy.predicting.predictor import Taken
        from anomaly_diffusion.verdict_records import UnknownCategory

        for one in found:
            if not isinstance(one, Path):
                self._refuse(one.name, one.problem)
                continue
            try:
                yield Taken(one.as_posix(), self.predictor.take(one))
            except BadImages as error:
                self._refuse(one.as_posix(), next(iter(error.problems.values())))
            except UnknownCategory as error:
                self._refuse(one.as_posix(), str(error))

    def _refuse(self, name: str, problem: str) -> None:
        from anomaly_diffusion.runs.predictions import note_unjudged

        self.bad += 1
        print(f"{name}: {problem}", file=sys.stderr, flush=True)
        if self.unjudged is not None:
            note_unjudged(self.unjudged, name, problem)

    def _judge(self, some: "Sequence[Taken]") -> None:
        for result in self.predictor(some):
            self.table.write(result)
            print(_line(result), file=self.told, flush=True)
            self._count(result)

    def _count(self, result: "ImageResult") -> None:
        self.judged += 1
        self.defective += result.word == "defective"
        self.drifted += bool(result.verdict and result.verdict.drift)


def _line(result: "ImageResult") -> str:
    """A verdict for people."""
    said = result.verdict
    numbers = f"score {result.score:.3g}" + (f", limit {said.limit:.3g}, p {said.p_value:.2g}" if said else "")
    return f"{result.path}: {result.word}, {numbers}" + (f"; {said.drift}" if said and said.drift else "")


def _parser() -> argparse.ArgumentParser:
    """The options that `help_text` explains."""
    told = "Judge photographs by a finished run, a line each as they come."
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion predict", description=told, allow_abbrev=False, add_help=False
    )
    parser.add_argument("photographs", nargs="*", metavar="PHOTOGRAPH")
    parser.add_argument("--watch", type=Path)
    parser.add_argument("--run_folder", default="last")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"))
    parser.add_argument("--false_alarms", "--verdicts.false_alarms", type=float)
    parser.add_argument("--category")
    parser.add_argument("--output")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--append", action="store_true")
    for name in ("masks", "overlays"):
        parser.add_argument(f"--{name}", f"--panels.{name}", type=_yes, nargs="?", const=True, default=False)
    parser.add_argument("--device", default="cpu")
    return parser


def _yes(word: str) -> bool:
    if word.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {word}")
    return word.lower() in ("true", "1")
