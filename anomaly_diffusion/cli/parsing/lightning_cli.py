"""fit, validate, test, predict and train: LightningCLI with run folders, and with mistakes told briefly."""

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, Namespace
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LRSchedulerTypeUnion
from torch.optim import Optimizer

from anomaly_diffusion import __version__, files
from anomaly_diffusion.cli import help_text, user_errors
from anomaly_diffusion.cli.parsing import going_on, own_code, renamed, rules
from anomaly_diffusion.cli.parsing.arguments import TRAINING, Request, experiments_folder
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.detectors.foreign_checkpoint import ForeignCheckpoint
from anomaly_diffusion.detectors.learning_rate import warmup_then_cosine
from anomaly_diffusion.engine import acceleration, changes, loggers
from anomaly_diffusion.engine.checkpoints import BestAndLast, WholeCheckpoints
from anomaly_diffusion.engine.ending import Interruption
from anomaly_diffusion.engine.finite_loss import FiniteLoss
from anomaly_diffusion.engine.lightning_internals import OneVerbCLI, is_first_process, quieten
from anomaly_diffusion.engine.one_thread import OneThread
from anomaly_diffusion.engine.progress import StepProgress
from anomaly_diffusion.engine.recall import Recall
from anomaly_diffusion.engine.resumption import Resumption
from anomaly_diffusion.engine.trainer import OneFolder, RunTrainer
from anomaly_diffusion.runs import parts, run_folder

_ROOMS = (
    *("diffusion", "networks", "codecs", "reconstruction", "scoring", "data", "detectors", "baselines", "callbacks"),
    "engine",
)
_OF_WEIGHTS = ("model.", "data.channels")  # settings that decide which weights there are
_CHANNELS = "model.backbone.channels"
_UNSAVED = {"config", "run", "ckpt_path", "weights_only", "verbose", "return_predictions"}


class DetectorCLI(OneVerbCLI):
    """Parses one verb's arguments, claims a run folder and runs the verb in it.

    Args:
        request: the command line.
        detector: base class of the models that `model.class_path` may name.
        data: the data module.
        callbacks: always-on callbacks by the name under which they are configured.
    """

    def __init__(
        self,
        request: Request,
        detector: type[LightningModule],
        data: type[LightningDataModule],
        callbacks: dict[str, type[Callback]],
    ) -> None:
        self.request, self.verb = request, request.verb
        self.always_on = {**callbacks, "checkpoint": BestAndLast}
        self.data, self.folder = data, Path()
        self._chosen = ""  # what `acceleration.auto` took, and why
        self._new: list[Path] = []  # folders that this run has made, the deepest first
        of_verb = {
            "default_config_files": [str(experiments_folder() / "base.yaml")],
            "dump_header": [f"anomaly-diffusion {__version__}"],
        }
        try:
            super().__init__(
                model_class=detector,
                subclass_mode_model=True,
                datamodule_class=data,
                save_config_callback=None,
                trainer_class=RunTrainer,
                seed_everything_default=0,
                load_from_checkpoint_support=False,  # config.yaml rebuilds a detector; checkpoints hold weights
                parser_kwargs={"exit_on_error": False, "allow_abbrev": False, request.verb: of_verb},
                args=[request.verb, *request.arguments],
            )
        except Exception:
            self._leave_nothing_empty()
            raise

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Build the parser of the one verb that was asked for: the others cost seconds."""
        skip = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders", "weights_only"}
        return {self.request.verb: skip}

    @staticmethod
    def configure_optimizers(
        lightning_module: LightningModule, optimizer: Optimizer, lr_scheduler: LRSchedulerTypeUnion | None = None
    ) -> Any:
        """Step the schedule of learning rates once per training step; the detector's own, unless one is named."""
        schedule = lr_scheduler or warmup_then_cosine(optimizer, lightning_module.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run folder, W&B and the always-on callbacks."""
        parser.add_argument("--experiment", default=self.request.experiment, help="First folder below `runs_dir`.")
        parser.add_argument("--run", type=str | None, default=None, help="Second folder; default: the next number.")
        parser.add_argument("--runs_dir", default="runs", help="Where runs go.")
        parser.add_class_arguments(loggers.WandbOptions, "wandb")
        for key, callback in self.always_on.items():
            parser.add_lightning_class_args(callback, key)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the request, not `sys.argv`, and say in one line what is wrong with it."""
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            known = [action.dest for action in self.verb_parser()._actions]
            raise user_errors.usage(str(error), known) from None
        chosen = self.settings()
        self._count_processes(chosen)
        if chosen.get("lr_scheduler") is not None and chosen.get("optimizer") is None:
            raise user_errors.UsageError("`lr_scheduler` needs an `optimizer` beside it, such as --optimizer AdamW")
        self._check(chosen)

    def _count_processes(self, config: Namespace) -> None:
        """Where torchrun has started several, take them for granted: else each would do all the work alone."""
        if TorchElasticEnvironment.detect():
            here, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
            for name, count in (("devices", here), ("num_nodes", all_of_them // here)):
                if f"trainer.{name}" not in self.request.given:
                    config.trainer[name] = count

    def _check(self, config: Namespace) -> None:
        """Refuse what no run can have, before anything is made."""
        rules.check(config, torch.cuda.device_count())
        rules.check_auto(config, self.verb in TRAINING and not config.get("ckpt_path"))
        for line in rules.overruled(config.trainer):
            print(line, file=sys.stderr, flush=True)
        groups = {"model": Any, "data": self.data, "wandb": loggers.WandbOptions, **self.always_on, "optimizer": Any}
        for name, hint in groups.items():
            for missing in rules.nulls(config.get(name) or Namespace(), hint, name):
                raise user_errors.UsageError(f"`{missing}` must have a value, got null.")

    def before_instantiate_classes(self) -> None:
        """Give the backbone the channels of the space it works in: components, a latent's if known, or an image's."""
        config = self.settings()
        chosen = config.model.init_args
        backbone = chosen.get("backbone", Namespace()).get("init_args", Namespace())
        space = chosen.autoencoder.get("init_args", {}) if "autoencoder" in chosen else config.data
        channels = chosen.get("components", space.get("channels"))
        if channels and "channels" in backbone:
            if _CHANNELS in self.request.given and backbone.channels != channels:
                raise user_errors.UsageError(
                    f"`model.init_args.backbone.init_args.channels` must be {channels}, the channels of the space it "
                    f"works in, got {backbone.channels}. Leave it out: it follows from data.channels or the codec."
                )
            backbone.channels = channels
        self._changed = self._changes()
        changes.refuse(self._changed)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Claim the run folder once everything else has proved sound, and point whatever writes to it."""
        self.folder = self._claimed()
        options: loggers.WandbOptions = self.made("wandb")
        runs = (self.request.source or self.folder).resolve().parents[1]
        name = self.folder.resolve().relative_to(runs).as_posix()
        ours = loggers.loggers(self.folder, options, name, self.request.verb)
        theirs = self.made("trainer").logger
        theirs = theirs if isinstance(theirs, Iterable) else [theirs]
        ours += [logger for logger in theirs if logger not in (None, True, False)]
        kwargs |= self._chosen_arithmetic()
        trainer = super().instantiate_trainer(default_root_dir=str(self.folder), logger=ours, **kwargs)
        trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer

    def _chosen_arithmetic(self) -> dict[str, Any]:
        """Choose where `acceleration.auto` asks for it, and put the choice in its place; what the trainer is told."""
        config = self.settings()
        if not config.get("acceleration.auto"):
            return {}
        choice = acceleration.Choice(False, "nothing, as it chooses on a CPU only")
        if rules.on_cpu(config.trainer, torch.cuda.device_count()):
            data: Any = self.datamodule
            image = (data.channels, *data.image_size)
            choice = acceleration.choose(self.model, image, acceleration.bfloat16_instructions())
        self._chosen = f"acceleration.auto took {choice.why}"
        print(f"{self._chosen}.", flush=True)
        config.acceleration.auto = False
        if not choice.lower:
            return {}
        config.trainer.precision = acceleration.LOWER
        config.acceleration.channels_last = self.made("acceleration").channels_last = True
        return {"precision": acceleration.LOWER}

    def callbacks_of_run(self, config: dict[str, Any], callbacks: list[Callback]) -> list[Callback]:
        """The always-on callbacks, and what every run needs besides."""
        checkpoint = next(callback for callback in callbacks if isinstance(callback, ModelCheckpoint))
        if checkpoint.dirpath is None:
            checkpoint.dirpath = str(((self.request.source or self.folder) / "checkpoints").resolve())
        if config.get("enable_checkpointing") is False:
            callbacks = [callback for callback in callbacks if callback is not checkpoint]
        given = config.get("callbacks") or []
        given = [given] if isinstance(given, Callback) else list(given)
        if config.get("enable_progress_bar") is not False and not any(isinstance(bar, ProgressBar) for bar in given):
            callbacks = [*callbacks, StepProgress()]
        resumption = Resumption(self._changed, self._remember)
        kept = [Recall()] if self.verb == "test" and self._goes_on() else []
        return [OneFolder(), *callbacks, resumption, FiniteLoss(), OneThread(), Interruption(), *kept]

    def after_instantiate_classes(self) -> None:
        """Write config.yaml, once, and send the same to the loggers."""
        config = self.saved_config()
        path = self.folder / run_folder.CONFIG
        if is_first_process() and not path.exists():
            chosen = f"{changes.CHOSEN} {self._chosen}.\n" if self._chosen else ""
            files.write(path, f"{self._header()}\n{chosen}{yaml.safe_dump(config, sort_keys=False)}")
        for logger in self.trainer.loggers:
            loggers.describe(logger, config)

    def _header(self) -> str:
        path = self.folder / run_folder.CONFIG
        return (
            f"# anomaly-diffusion {__version__}. The same run again: anomaly-diffusion {self.request.verb} "
            f"--config {path}"
        )

    def _changes(self) -> list[changes.Change]:
        """Return which settings of a run are changed where training goes on from its checkpoint."""
        config, source = self.settings(), self.request.source
        if source is None or self.request.verb not in TRAINING or not config.get("ckpt_path"):
            return []
        found = changes.changes(changes.saved(renamed.read(source / run_folder.CONFIG)), self.saved_config())
        return found + ([changes.Change("run", source.name, config.run)] if config.run else [])

    def _remember(self, step: int) -> None:
        """Say what a resumed run changes, and write it down: config.yaml tells the settings that hold."""
        told = "; ".join(map(str, self._changed))
        print(f"Going on at step {step} with {told}.", flush=True)
        content = yaml.safe_dump(self.saved_config(), sort_keys=False)
        changes.note(self.folder / run_folder.CONFIG, self._header(), content, self._changed, step)

    def saved_config(self) -> dict[str, Any]:
        """Return the settings that make the same run again, whatever the verb, in a folder of its own."""
        parser, config = self.verb_parser(), self.settings()
        values = yaml.safe_load(parser.dump(config, skip_none=False))
        values["trainer"].pop("default_root_dir", None)
        return {key: value for key, value in values.items() if key not in _UNSAVED}

    def _claimed(self) -> Path:
        """Return the folder of this run, and note what was made for it."""
        config = self.settings()
        above = Path(config.runs_dir) / self._experiment()
        new = [path for path in (above, *above.parents) if not path.exists()]
        folder = self._claim()
        if folder != self.request.source and is_first_process():
            evaluations = [folder.parent] if folder.parent.name == run_folder.EVALUATIONS else []
            self._new = [folder, *evaluations, *new]
        return folder

    def _leave_nothing_empty(self) -> None:
        """Remove the folder of a run that was refused before its first step."""
        if self._new and not getattr(getattr(self, "trainer", None), "global_step", 0):
            run_folder.discard(self._new[0], self._new[1:])

    def _claim(self) -> Path:
        """Return the folder of this run; the first of several processes makes it, and `OneFolder` tells the others."""
        source, config = self.request.source, self.settings()
        evaluated = source if self.request.verb not in TRAINING else None
        if not is_first_process():
            if evaluated and config.run:
                return evaluated / run_folder.EVALUATIONS / str(config.run)
            return source or Path(config.runs_dir) / self._experiment() / "unknown"
        if evaluated:
            there = evaluated / run_folder.EVALUATIONS / str(config.run)
            killed = self.request.verb == "test" and run_folder.is_unfinished(there, parts.verdicts(there))
            go_on = self.request.verb == "predict" or killed
            return run_folder.claim_evaluation(evaluated, self.request.changes, config.run, go_on)
        return source or run_folder.claim(Path(config.runs_dir) / self._experiment(), config.run)

    def _experiment(self) -> str:
        config = self.settings()
        trial = config.trainer.fast_dev_run and config.experiment == self.request.experiment
        return "fast_dev_run" if trial else str(config.experiment)

    def verb_defaults(self) -> dict[str, Any]:
        """Keep and print nothing: callbacks write predictions and print figures."""
        quiet = {"predict": "return_predictions", "test": "verbose", "validate": "verbose"}
        return {quiet[self.verb]: False} if self.verb in quiet else {}

    def _other_settings(self) -> str:
        """Which settings of the model are not those of the run that a checkpoint belongs to, in a line."""
        path = self.settings().get("ckpt_path")
        source = Path(path).resolve().parents[1] / run_folder.CONFIG if path else None
        if source is None or not source.is_file():
            return " Name the configs that it was trained with."
        found = changes.changes(renamed.read(source), self.saved_config())
        other = [change for change in found if change.key.startswith(_OF_WEIGHTS)]
        told = [f"{change.key} is {change.before} there and {change.now} here" for change in other[:3]]
        return f" Settings that differ: {'; '.join(told) or 'none, so it was made by another version'}."

    def _goes_on(self) -> bool:
        """Whether the same command would go on after a kill: where the evaluation has a name to be found by."""
        return self.verb in ("test", "predict") and self.request.source is not None and bool(self.settings().run)

    def _left(self) -> bool:
        """Whether there is anything to do: a prediction in a folder that is named may have told all before."""
        config, data = self.settings(), self.datamodule
        if not self._goes_on() or not isinstance(data, AnomalyDataModule):
            return True
        if self.verb == "test":
            going_on.take_up_test(self.folder, self.saved_config(), config.get("ckpt_path"))
            return True
        return going_on.take_up(self.folder, data, self.saved_config(), config.get("ckpt_path"))

    def run_verb(self) -> None:
        """Name the folder, run the verb, and leave no W&B run open."""
        if is_first_process():
            print(f"Run folder: {self.folder}", flush=True)
        try:
            if self._left():
                super().run_verb()
        except ForeignCheckpoint as error:
            raise ForeignCheckpoint(f"{error}{self._other_settings()}") from None
        finally:
            loggers.finish()


def main(request: Request) -> int:
    """Carry out one Lightning verb."""
    if request.help_full:
        print(help_text.verb(request.verb), end="\n\n")
        request = Request(request.verb, ["--help"], request.experiment)
    carry_out(request)
    return 0


def carry_out(request: Request) -> Path:
    """Carry out one Lightning verb and return the folder of its run."""
    quieten()
    import_rooms()
    own_code.import_named(request.arguments)
    return DetectorCLI(request, *classes()).folder


def classes() -> tuple[type[LightningModule], type[LightningDataModule], dict[str, type[Callback]]]:
    """Return the base class of models, the data module, and the always-on callbacks."""
    from anomaly_diffusion.callbacks.anomaly_metrics import AnomalyMetrics
    from anomaly_diffusion.callbacks.depth_curve import DepthCurve
    from anomaly_diffusion.callbacks.failure_analysis import FailureAnalysis
    from anomaly_diffusion.callbacks.painted_defects import PaintedDefects
    from anomaly_diffusion.callbacks.reconstruction_fidelity import Fidelity
    from anomaly_diffusion.callbacks.residual_maps import ResidualMaps
    from anomaly_diffusion.callbacks.run_card import RunCard
    from anomaly_diffusion.callbacks.sampling_trajectories import SamplingTrajectories
    from anomaly_diffusion.callbacks.saturated_overlap import SaturatedOverlaps
    from anomaly_diffusion.callbacks.verdicts import Verdicts
    from anomaly_diffusion.data.datamodule import AnomalyDataModule
    from anomaly_diffusion.detectors.detector import Detector
    from anomaly_diffusion.engine.acceleration import Acceleration
    from anomaly_diffusion.engine.ema import EMA

    # RunCard measures time, so it comes before those that spend it
    always_on = {"ema": EMA, "card": RunCard, "verdicts": Verdicts, "metrics": AnomalyMetrics, "panels": ResidualMaps}
    always_on |= {
        "painted": PaintedDefects,
        "saturated": SaturatedOverlaps,
        "depths": DepthCurve,
        "trajectories": SamplingTrajectories,
        "fidelity": Fidelity,
        "failures": FailureAnalysis,
        "acceleration": Acceleration,
    }
    return Detector, AnomalyDataModule, always_on


def import_rooms() -> None:
    """Import every room, so that YAML may name their classes without the module; baselines need the whole path."""
    for room in _ROOMS:
        package = importlib.import_module(f"anomaly_diffusion.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
