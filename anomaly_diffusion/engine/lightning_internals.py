"""What Lightning keeps private and this program needs, under names of its own: no other file names it.

Any version may move these without a word, so `tests/engine/test_lightning_internals.py` names each one. Lightning's
warnings that are silenced stand here too: they are matched by their words.
"""

import logging
import warnings
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities import rank_zero_only

__all__ = [
    "TRIED",
    "BatchLoop",
    "EpochsLoop",
    "MetricsLogger",
    "MetricsWriter",
    "MonitoredCheckpoint",
    "OneVerbCLI",
    "TorchCheckpointIO",
    "ends_with_its_processes",
    "is_first_process",
    "quieten",
    "send_nothing_anonymously",
    "set_root_folder",
]

TRIED = ("2.6.6",)  # versions of Lightning that the tests have passed with

_HARMLESS = (  # warnings about choices that are ours, not the user's
    ".*does not have many workers.*",
    ".*LeafSpec.*",
    "Found .* module.s. in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`srun` command is available.*",
    "Using `DistributedSampler` with the dataloaders.*",  # images that it repeats are counted once
    "The dirpath has changed from .*",
    ".*is smaller than the logging interval.*",
    ".*configure_optimizers` will be overridden.*",
    r"(?s).*(removed in v5|JsonargparseDeprecationWarning)",  # what LightningCLI calls
)


def quieten() -> None:
    """Silence Lightning's tips and the warnings nobody can act on; everything else stays."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _HARMLESS:
        warnings.filterwarnings("ignore", message=message)


class EpochsLoop(_FitLoop):
    """The loop over epochs, with the loop within one that is given."""

    def __init__(self, trainer: Trainer, within: "BatchLoop") -> None:
        super().__init__(trainer, trainer.min_epochs, trainer.max_epochs)
        self.epoch_loop = within


class BatchLoop(_TrainingEpochLoop):
    """The loop within an epoch."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer, trainer.min_steps, trainer.max_steps)

    def is_validation_due(self, due: bool) -> bool:
        """Whether to validate after this batch, where Lightning says `due`; to be overridden."""
        return due

    def has_stepped(self) -> bool:
        """Whether this batch completes an optimiser step."""
        return not self._should_accumulate()

    def is_at_epoch_end(self) -> bool:
        """Whether this batch is the last of its epoch."""
        return self._num_ready_batches_reached()

    def count_logged_step(self) -> None:
        """Count one step more in what loggers are told."""
        self._batches_that_stepped += 1

    def _should_check_val_fx(self, data_fetcher: _DataFetcher) -> bool:
        return self.is_validation_due(super()._should_check_val_fx(data_fetcher))


class MonitoredCheckpoint(ModelCheckpoint):
    """ModelCheckpoint that can be asked to write `last.ckpt`."""

    def belongs_to_epochs(self, trainer: Trainer) -> bool:
        """Whether checkpoints are written at the ends of epochs of training, not after validations."""
        return self._should_save_on_train_epoch_end(trainer)

    def write_last(self, trainer: Trainer) -> None:
        """Write `last.ckpt`, if it is wanted and not written yet at this step."""
        if self.save_last and not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


class MetricsWriter(ExperimentWriter):
    """Writes a metrics.csv; what the original does to one that is there already is to be overridden."""

    def begin(self) -> None:
        """Is called once, before anything is written."""

    def add_columns(self, names: list[str]) -> None:
        """Is called when a row has columns that the file lacks, with all `names`."""

    def _check_log_dir_exists(self) -> None:
        self.begin()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.add_columns(fieldnames)


class MetricsLogger(CSVLogger):
    """CSVLogger with a writer of one's own; a stand-in on all but the first process."""

    def make_writer(self) -> MetricsWriter:
        """The writer, which is asked for once; to be overridden."""
        return MetricsWriter(log_dir=self.save_dir)

    @property
    def experiment(self) -> Any:
        """The writer."""
        if not is_first_process():
            return super().experiment
        if self._experiment is None:
            self._experiment = self.make_writer()
        return self._experiment


class OneVerbCLI(LightningCLI):
    """LightningCLI whose parser knows one subcommand, `verb`, and whose private steps can be overridden."""

    verb: str

    def settings(self) -> Any:
        """What was asked for: the namespace of the verb."""
        return self.config[self.verb]

    def made(self, key: str) -> Any:
        """The object that became of the settings under `key`."""
        return self._get(self.config_init, key)

    def verb_parser(self) -> LightningArgumentParser:
        """The parser of the verb."""
        return self._parser(self.verb)

    def verb_defaults(self) -> dict[str, Any]:
        """Defaults of the arguments of the trainer's method that are others than Lightning's."""
        return {}

    def callbacks_of_run(self, config: dict[str, Any], callbacks: list[Callback]) -> list[Callback]:
        """All callbacks of the trainer but those under its own `callbacks`.

        Args:
            config: arguments of the trainer.
            callbacks: the always-on ones.
        """
        return callbacks

    def run_verb(self) -> None:
        """Carry out the verb; to be extended."""
        super()._run_subcommand(self.verb)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        return super()._instantiate_trainer(config, self.callbacks_of_run(config, callbacks))

    def _parse_ckpt_path(self) -> None:
        """Let the user's settings win: a run's config.yaml was read before them, its checkpoint has no say."""

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults(self.verb_defaults())
        return parser

    def _run_subcommand(self, subcommand: str) -> None:
        self.run_verb()


def is_first_process() -> bool:
    """Whether this process is the one that writes; known before a Trainer is."""
    return getattr(rank_zero_only, "rank", 0) == 0


def set_root_folder(trainer: Trainer, folder: str) -> None:
    """Let a trainer write elsewhere than it was told when it was made."""
    trainer._default_root_dir = folder  # type: ignore[attr-defined]


def ends_with_its_processes(trainer: Trainer) -> bool:
    """Whether each call of the trainer starts processes of its own, with which everything but weights is lost."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def send_nothing_anonymously(logger: WandbLogger) -> None:
    """Drop a setting of which W&B warns even when it is not set."""
    logger._wandb_init.pop("anonymous", None)
