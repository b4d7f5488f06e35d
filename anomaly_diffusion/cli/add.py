"""`add`: a finished run learns to judge a category more, and judges all others as before, bit for bit."""

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from anomaly_diffusion import files
from anomaly_diffusion.cli.user_errors import UsageError
from anomaly_diffusion.runs import run_folder
from anomaly_diffusion.runs.record import RunRecord

if TYPE_CHECKING:
    from anomaly_diffusion.data.split import Split

__all__ = ["added", "main"]

_VALIDATED = ("precision", "accelerator")  # settings of the run's trainer that its calibration is made with


def main(arguments: list[str]) -> int:
    """Make the new run, train it if that is asked for, and test it."""
    options = _parser().parse_args(arguments)
    if options.fine_tune < 0:
        raise UsageError(f"`--fine_tune` must be at least 0, got {options.fine_tune}.")
    run = RunRecord(run_folder.find(options.run_folder, options.runs_dir))
    folder, step = added(run, options.category)
    from anomaly_diffusion.cli.parsing import lightning_cli
    from anomaly_diffusion.cli.parsing.arguments import prepare

    words = ["--resume", str(folder), "--wandb.mode", options.wandb]
    more = ["--trainer.max_steps", str(step + options.fine_tune)] if options.fine_tune else []
    return lightning_cli.main(prepare("train", [*words, *more]))


def added(run: RunRecord, category: str) -> tuple[Path, int]:
    """Make the folder of a run that knows a category more, and tell the step it stands at.

    The network and all that was learnt stay as they are; calibration and limits of the new category come of its own
    held-out photographs.

    Args:
        run: on a list of categories.
        category: beside the others in the same data set.

    Raises:
        FileNotFoundError: there are no such photographs, or the run has no checkpoint.
        ValueError: nothing can be added to the run, or it knows the category.
    """
    told = run.config.get("data", {}).get("dataset", {}).get("init_args", {}).get("category")
    _check(run, told, category)
    from anomaly_diffusion.engine import checkpoints
    from anomaly_diffusion.engine.lightning_internals import quieten

    quieten()
    stored = checkpoints.read_training(run_folder.checkpoint(run.folder, run_folder.BEST, run_folder.LAST))
    _check_stored(run, told, stored)
    folder = run_folder.claim(run.source.parents[1] / f"{run.source.parent.name}-{category}")
    try:
        _write(run, folder, category, stored)
    except BaseException:
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
        raise
    return folder, int(stored["global_step"])


def _check(run: RunRecord, told: Any, category: str) -> None:
    if not isinstance(told, list):
        raise ValueError(
            f"The run must have been trained on a list of categories, got `category: {told}` in {run.folder}: its "
            "photographs are named without one. Train it with "
            f'--data.dataset.init_args.category "[{told or "NAME"}]", a list of one.'
        )
    if category in told:
        raise ValueError(f"`category` must be a new one, got {category}: {run.folder} knows {', '.join(told)}.")


def _check_stored(run: RunRecord, told: list[str], stored: Mapping[str, Any]) -> None:
    if sorted(stored.get("categories") or []) != sorted(told):
        raise ValueError(
            f"The checkpoint of {run.folder} was written before each category had limits of its own. Go on with it "
            f"first: anomaly-diffusion train --resume {run.folder}"
        )
    if stored.get("folds"):
        raise ValueError(
            f"{run.folder} was split by folds, each photograph judged by a copy that has not seen it, and a new "
            "category would be judged by one of them. Train it with --data.validation.folds 1."
        )


def _write(run: RunRecord, folder: Path, category: str, stored: Mapping[str, Any]) -> None:
    """Settings, split and checkpoint of the new run."""
    from anomaly_diffusion import api
    from anomaly_diffusion.data.datamodule import AnomalyDataModule
    from anomaly_diffusion.detectors.detector import Detector
    from anomaly_diffusion.engine import acceleration, addition, checkpoints

    config = _config(run, folder, category, stored)
    head = f"# {category} added to {run.folder}, from its checkpoint of step {stored['global_step']}."
    files.write(folder / run_folder.CONFIG, f"{head}\n{yaml.safe_dump(config, sort_keys=False)}")
    dataset = config["data"]["dataset"]
    alone = dataset | {"init_args": dataset["init_args"] | {"category": [category]}}
    data: AnomalyDataModule = api.built(AnomalyDataModule, folder, "data", dataset=alone)
    detector: Detector = api.built(Detector, folder, "model")
    split = _split(run, folder, data)
    false_alarms = (config.get("verdicts") or {}).get("false_alarms")
    options = {name: config["trainer"][name] for name in _VALIDATED if config["trainer"].get(name) is not None}
    grown = addition.grown(stored, detector, category)
    acceleration.as_calibrated(detector, stored)
    content = addition.calibrated(grown, detector, data, false_alarms, options)
    addition.point_to(content, (folder / run_folder.BEST).resolve())
    for place in (run_folder.BEST, run_folder.LAST):
        checkpoints.WholeCheckpoints().save_checkpoint(content, folder / place)
    split.save(folder / run_folder.SPLIT)


def _config(run: RunRecord, folder: Path, category: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    from anomaly_diffusion.engine import addition

    known = [*stored["categories"], category]
    config = dict(run.config)
    data, dataset = config["data"], config["data"]["dataset"]
    dataset = dataset | {"init_args": dataset["init_args"] | {"category": known}}
    return config | {
        "data": data | {"dataset": dataset},
        "model": addition.with_classes(config["model"], len(known)),
        "trainer": config["trainer"] | {"max_steps": int(stored["global_step"]), "max_epochs": -1},
        "experiment": folder.parent.name,
        "runs_dir": str(folder.parents[1]),
    }


def _split(run: RunRecord, folder: Path, data: Any) -> "Split":
    """The split of the run with that of the new category, which `data` has alone and takes."""
    from anomaly_diffusion import api
    from anomaly_diffusion.data.split import Split
    from anomaly_diffusion.engine import addition

    before, whole = api.data_module(run).split, api.data_module(RunRecord(folder)).dataset
    data.split = Split.of(data.dataset, data.validation)
    if before is None:
        raise FileNotFoundError(
            f"{run.folder} has no {run_folder.SPLIT}, which tells who trained and who was held out."
        )
    return addition.joined(before, data.split, [whole.name(sample) for sample in whole.test_samples()])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion add",
        description="Let a finished run judge a category more: a new run beside it, with the same network and the same "
        "scores and limits of all others, bit for bit; the new one gets a calibration and limits of its own held-out "
        "photographs. Then test it on all of them.",
    )
    parser.add_argument("category", help="its folder, beside those of the others; or as the list names it")
    parser.add_argument("--run_folder", default="last", help="the run, or last (default)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs are (default: runs)")
    steps = "training steps to follow, on the photographs of all categories (default: none; then scores do change)"
    parser.add_argument("--fine_tune", type=int, default=0, metavar="STEPS", help=steps)
    modes = ("offline", "online", "disabled")
    parser.add_argument("--wandb", choices=modes, default="offline", help="as of train (default: offline)")
    return parser
