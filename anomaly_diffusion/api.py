"""What the command line does, for Python and notebooks: train from configs, test again, load what was trained."""

import contextlib
import importlib
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from anomaly_diffusion import torchvision_import
from anomaly_diffusion.cli.parsing.arguments import locate_config, prepare
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import Run

if TYPE_CHECKING:
    from anomaly_diffusion.data.batches import BatchSource
    from anomaly_diffusion.data.datamodule import AnomalyDataModule
    from anomaly_diffusion.detectors.detector import Detector
    from anomaly_diffusion.types import ImageBatch

__all__ = ["built", "data_module", "evaluate", "load", "sweep", "test_images", "train", "validate"]

torchvision_import.install()
_log = logging.getLogger(__name__)
_OF_TRAINING = ("augmentation", "validation", "feedback")  # what framing has no need of, and takes a second to import
_QUIET = {"wandb.mode": "disabled", "trainer.enable_progress_bar": False}


def train(*configs: str, settings: Mapping[str, Any] | None = None) -> Run:
    """Train, then test the checkpoint that was best on validation, as `anomaly-diffusion train` does, and be silent.

    Args:
        configs: files of settings, here or among the shipped experiments: "model/pixel.yaml". Of two that set the same
            thing the later one counts, which is logged.
        settings: what is put on top of them, by its name on the command line: {"trainer.max_steps": 100}.

    Raises:
        FileNotFoundError: a config does not exist.
        UsageError: a setting does not exist or has a wrong value.
    """
    return _carried_out("train", _words(configs, settings))


def evaluate(run: Run, *configs: str, settings: Mapping[str, Any] | None = None) -> Run:
    """Test a finished run again with other settings, calibrated on validation images first; nothing is trained.

    Args:
        run: the run.
        configs: files of settings, here or among the shipped experiments: "ablation/depth_sweep.yaml".
        settings: as in `train`.

    Raises:
        FileNotFoundError: the run or a config does not exist.
        UsageError: a setting does not exist or has a wrong value.
    """
    return _carried_out("test", ["--run_folder", str(run.folder), *_words(configs, settings)])


def validate(run: Run, *configs: str, settings: Mapping[str, Any] | None = None) -> Run:
    """Validate a finished run again with other settings; its `painted.csv` tells how well each defect was found.

    Args:
        run: the run.
        configs: as in `evaluate`.
        settings: as in `train`.

    Raises:
        FileNotFoundError: the run or a config does not exist.
        UsageError: a setting does not exist or has a wrong value.
    """
    return _carried_out("validate", ["--run_folder", str(run.folder), *_words(configs, settings)])


def sweep(file: str, settings: Mapping[str, Any] | None = None, jobs: int = 1) -> list[Run]:
    """Carry out all trials of a sweep file of W&B, as `anomaly-diffusion sweep` does, and be silent.

    Each trial is a process of its own, with W&B offline unless a setting says otherwise; what is done is skipped.

    Args:
        file: a sweep file, here or among the shipped experiments: "sweeps/prediction.yaml".
        settings: what is put on top of every trial, as in `train`.
        jobs: how many run at the same time where there are no GPUs, > 0.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it asks for what only W&B's own agent can do, or a folder holds the run of another command.
        RuntimeError: trials have no results; it names their logs.
    """
    from anomaly_diffusion.cli.sweeping import sweep_file, sweep_jobs

    if jobs < 1:
        raise ValueError(f"`jobs` must be positive, got {jobs}.")
    chosen = {"wandb.mode": "offline", "runs_dir": "runs"} | dict(settings or {})
    asked = sweep_file.read(Path(locate_config(file)))
    asked = replace(asked, command=asked.command + _words((), chosen))
    planned = sweep_jobs.planned(asked, asked.trials(), Path(chosen["runs_dir"]), chosen["wandb.mode"])
    sweep_jobs.work(asked, planned, chosen["wandb.mode"], lambda: None, jobs)
    missing = [f"{job.log} ({job.note or job.state})" for job in planned if not job.done]
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(planned)} trials have no results: {', '.join(missing)}.")
    return [Run(job.folder) for job in planned]


def load(run: Run) -> "Detector":
    """The detector of a run, with the weights that were best on validation, ready to judge images.

    Args:
        run: a run, or an evaluation, whose detector then judges as the run's does.

    Raises:
        FileNotFoundError: the run has no checkpoint.
    """
    from anomaly_diffusion.detectors.detector import Detector
    from anomaly_diffusion.engine.acceleration import as_calibrated

    evaluation = run_folder.evaluation_of(run.folder)
    folder = run.folder if evaluation is None else evaluation[0]
    detector: Detector = built(Detector, folder, "model")
    path = run_folder.checkpoint(folder, run_folder.BEST, run_folder.LAST)
    stored = torch.load(path, map_location="cpu", weights_only=True)
    detector.on_load_checkpoint(stored)
    detector.load_state_dict(stored["state_dict"])
    as_calibrated(detector, stored)
    return detector.eval()


def data_module(run: Run) -> "AnomalyDataModule":
    """The data of a run, split as it was for the run.

    Raises:
        FileNotFoundError: the data are gone.
        ValueError: photographs were added or removed since.
    """
    from anomaly_diffusion.data.datamodule import AnomalyDataModule
    from anomaly_diffusion.data.split import Split

    data: AnomalyDataModule = built(AnomalyDataModule, run.folder, "data")
    path = run.folder / run_folder.SPLIT
    data.split = Split.load(path, data.dataset) if path.is_file() else None
    return data


def framing(run: Run) -> "AnomalyDataModule":
    """The data module of a run without its photographs, which need not be there: it knows how to frame others."""
    from anomaly_diffusion.data.datamodule import AnomalyDataModule

    described = run.config.get("data", {}).get("dataset", {}).get("init_args", {})
    instead = {"dataset": {"class_path": "anomaly_diffusion.Textures"}} | dict.fromkeys(_OF_TRAINING)
    data: AnomalyDataModule = built(AnomalyDataModule, run.folder, "data", **instead)
    data.dataset.white_level = described.get("white_level", data.dataset.white_level)
    return data


def test_images(run: Run) -> "ImageBatch":
    """All test images of a run in one batch, good ones first where the data set is a built-in texture."""
    data = data_module(run)
    data.setup("test")
    source: BatchSource = data.test_dataloader().dataset  # type: ignore[assignment]
    return source.__getitems__(range(len(source)))


def _words(configs: tuple[str, ...], settings: Mapping[str, Any] | None) -> list[str]:
    words = [word for config in configs for word in ("--config", config)]
    return words + [f"--{key}={_written(value)}" for key, value in {**_QUIET, **(settings or {})}.items()]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, Path) else json.dumps(value)


def _carried_out(verb: str, words: list[str]) -> Run:
    from anomaly_diffusion.cli.parsing import lightning_cli

    request = prepare(verb, words, tell=_log.info)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        with _silence():
            return Run(lightning_cli.carry_out(request))
    finally:
        torch.use_deterministic_algorithms(deterministic)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Print nothing; warnings that are filtered for the length of a run are not filtered for good."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _nothing_shown():
        yield


def _nothing_shown() -> contextlib.AbstractContextManager[Any]:
    """Keep from a notebook what rich shows there instead of printing it."""
    if "IPython.core.displaypub" not in sys.modules:
        return contextlib.nullcontext()
    capture: Any = importlib.import_module("IPython.utils.capture")
    hidden: contextlib.AbstractContextManager[Any] = capture.capture_output(stderr=False)
    return hidden


def built(base: type, folder: Path, key: str, **instead: Any) -> Any:
    """The object that the config of a run describes under `key`, some of its arguments others."""
    from jsonargparse import ArgumentParser

    from anomaly_diffusion.cli.parsing import lightning_cli, own_code, renamed

    lightning_cli.import_rooms()
    parser = ArgumentParser(exit_on_error=False)
    described = renamed.read(folder / run_folder.CONFIG, _log.info)[key] | instead
    own_code.import_described(described)
    if "class_path" in described:
        parser.add_subclass_arguments(base, key)
    else:
        parser.add_class_arguments(base, key)
    return parser.instantiate_classes(parser.parse_object({key: described}))[key]
