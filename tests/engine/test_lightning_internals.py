"""Every private name of Lightning that this program needs is there, and stands in one file."""

import ast
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher

import anomaly_diffusion
from anomaly_diffusion.engine import lightning_internals

PACKAGE = Path(anomaly_diffusion.__file__).parent
CALLED = {
    ModelCheckpoint: "_should_save_on_train_epoch_end _should_skip_saving_checkpoint _save_last_checkpoint "
    "_monitor_candidates",
    ExperimentWriter: "_check_log_dir_exists _rewrite_with_new_header",
    LightningCLI: "_get _parser _instantiate_trainer _parse_ckpt_path _prepare_subcommand_parser _run_subcommand",
    _TrainingEpochLoop: "_should_accumulate _should_check_val_fx _num_ready_batches_reached on_advance_end global_step",
    _FitLoop: "epoch_loop skip setup_data on_run_start on_run_end",
}
NAMES = [(owner, name) for owner, names in CALLED.items() for name in names.split()]


def trainer():
    return pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", max_steps=1)


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_method_that_is_called_or_overridden_exists(owner, name):
    assert name in dir(owner(trainer()) if owner is _FitLoop else owner)


def test_attributes_of_objects_exist(tmp_path):
    made = trainer()
    assert {"_default_root_dir", "callbacks"} <= vars(made).keys()
    assert "epoch_progress" in vars(made.fit_loop)
    assert {"_batches_that_stepped", "val_loop", "min_steps", "max_steps"} <= vars(made.fit_loop.epoch_loop).keys()
    assert "_experiment" in vars(CSVLogger(tmp_path))
    assert "_wandb_init" in vars(WandbLogger(save_dir=tmp_path, mode="disabled"))


def test_a_trainer_that_starts_processes_anew_is_told_from_others():
    assert not lightning_internals.ends_with_its_processes(trainer())
    assert not issubclass(_SubprocessScriptLauncher, _MultiProcessingLauncher)


def test_the_version_has_been_tried():
    assert pl.__version__ in lightning_internals.TRIED, "make test passes with it? Then add it there."


def private_names(path):
    """Names that begin with an underscore: imported from Lightning, or asked of another object than `self`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("pytorch_lightning", "lightning")):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
            yield from (part for part in node.module.split(".") if part == "csv_logs")
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_no_other_file_names_them():
    ours = lightning_internals.__file__
    private = {name for _, name in NAMES if name.startswith("_")}
    private |= {"_default_root_dir", "_batches_that_stepped", "_wandb_init", "csv_logs"}
    private -= {"_parser", "_get"}  # names of ours as well
    for path in PACKAGE.rglob("*.py"):
        if path != Path(ours):
            found = set(private_names(path))
            assert not found & private, path
            assert not {name for name in found if name.startswith(("_FitLoop", "_TrainingEpoch", "_MultiProc"))}, path
