"""Where figures go: metrics.csv always, W&B beside it, both inside the run folder."""

import csv
import io
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import Logger, WandbLogger

from anomaly_diffusion import files
from anomaly_diffusion.engine.lightning_internals import (
    MetricsLogger,
    MetricsWriter,
    is_first_process,
    send_nothing_anonymously,
)

FIGURES = (
    "image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro", "aupro_05", "aupimo",
)  # fmt: skip
_STEP = "trainer/global_step"


@dataclass
class WandbOptions:
    """What Weights & Biases is told about the run.

    Args:
        mode: offline keeps everything in the run folder (`wandb sync` sends it later); disabled does not import W&B.
        project: name of the project.
        group: runs to be averaged share a group; default: the experiment.
        tags: free labels.
        job_type: what the run does; default: the verb.
    """

    mode: Literal["offline", "online", "disabled"] = "offline"
    project: str = "anomaly_diffusion"
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    job_type: str | None = None


class _GrowingFile(MetricsWriter):
    """Appends to a metrics.csv of an earlier part of the run; the original deletes it."""

    def begin(self) -> None:
        """Go on with the columns that are there."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def add_columns(self, names: list[str]) -> None:
        """Add columns; the original empties the file first, and a kill would leave it so."""
        self.rewrite(names, lambda row: True)

    def rewrite(self, fieldnames: list[str], wanted: Callable[[dict[str, str]], bool]) -> None:
        """Keep the wanted rows, under the columns `fieldnames`; half a row that a killed process left is none.

        Args:
            fieldnames: the columns.
            wanted: tells of each row whether it stays.
        """
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values()]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=fieldnames)
        writer.writeheader()
        writer.writerows(row for row in rows if wanted(row))
        files.write(path, text.getvalue())


class MetricsFile(MetricsLogger):
    """Writes `metrics.csv`, one row per logged step, and nothing else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="", flush_logs_every_n_steps=1)

    def make_writer(self) -> MetricsWriter:
        """Append to what an earlier part of the run has written."""
        return _GrowingFile(log_dir=self.save_dir)

    def forget_from(self, step: int) -> None:
        """Drop the rows that were logged at `step` and later."""
        writer = self.experiment
        if Path(writer.metrics_file_path).is_file():
            writer.rewrite(writer.metrics_keys, lambda row: row["step"].isdigit() and int(row["step"]) < step)

    def log_hyperparams(self, params: Any = None) -> None:
        """Leave the settings to config.yaml, which holds all of them."""


def loggers(folder: Path, options: WandbOptions, name: str, verb: str) -> list[Logger]:
    """Return the loggers of a run.

    Args:
        folder: the run folder.
        options: what W&B is told.
        name: `<experiment>/<run>`.
        verb: the command, W&B's job type by default.
    """
    found: list[Logger] = [MetricsFile(folder)]
    if options.mode != "disabled":
        found.append(_wandb_logger(folder, options, name, verb))
    return found


def describe(logger: Logger, config: dict[str, Any]) -> None:
    """Send the whole config to a logger, and tell W&B that of every figure the largest value counts.

    Raises:
        ConnectionError: W&B cannot be reached, or does not know the user.
    """
    if isinstance(logger, WandbLogger):
        _begin(logger)
    logger.log_hyperparams(config)
    if isinstance(logger, WandbLogger) and is_first_process():
        for key in (f"{stage}/{figure}" for stage in ("val", "test") for figure in FIGURES):
            logger.experiment.define_metric(key, summary="max", step_metric=_STEP, step_sync=True)


def _begin(logger: WandbLogger) -> None:
    """Start the W&B run."""
    import wandb

    try:
        _ = logger.experiment
    except (wandb.Error, OSError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:160]
        raise ConnectionError(
            f"W&B cannot be reached, or does not know you ({reason}). Train with --wandb.mode offline, and send the "
            "run later: wandb sync RUN/wandb/offline-run-*"
        ) from error


def finish() -> None:
    """Close the W&B run, if there is one, so that the next run of this process gets its own."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _wandb_logger(folder: Path, options: WandbOptions, name: str, verb: str) -> WandbLogger:
    _keep_inside(folder / "wandb", offline=options.mode == "offline")
    import wandb

    experiment = name.partition("/")[0]
    logger = WandbLogger(
        name=name,
        save_dir=folder.resolve(),  # the service of W&B may have been started in another folder
        id=_stored_id(folder / "wandb" / "run_id"),
        project=options.project,
        log_model=options.mode == "online",
        group=options.group or experiment,
        tags=options.tags,
        job_type=options.job_type or verb,
        mode=options.mode,
        settings=wandb.Settings(silent=options.mode == "offline", console="off", disable_git=True),
    )
    send_nothing_anonymously(logger)
    return logger


def _keep_inside(folder: Path, offline: bool) -> None:
    """Make W&B stage, cache and (offline) configure itself in the run folder, not in the user's home."""
    places = {"WANDB_DATA_DIR": "data", "WANDB_CACHE_DIR": "cache", "WANDB_ARTIFACT_DIR": "artifacts"}
    if offline:  # online, the user's own settings tell which server and account to use
        places["WANDB_CONFIG_DIR"] = "config"
    os.environ["WANDB_SILENT"] = str(offline).lower()  # online, the address of the run is worth a line
    folder.mkdir(parents=True, exist_ok=True)
    for variable, place in places.items():
        os.environ[variable] = str((folder / place).resolve())
    os.environ["WANDB_DIR"] = str(folder.parent.resolve())


def _stored_id(path: Path) -> str:
    """Return the run's W&B id: the stored one, so that a resumed run is the same run, or a new one."""
    if not path.is_file() and is_first_process():
        files.write(path, secrets.token_hex(4))
    return path.read_text() if path.is_file() else ""
