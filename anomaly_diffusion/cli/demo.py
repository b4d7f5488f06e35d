"""`demo`: from nothing to defects found in pictures, in about a minute and without a network."""

import argparse
from pathlib import Path

__all__ = ["main"]

TEXTURES = ("brick", "grass", "gravel")


def main(arguments: list[str]) -> int:
    """Train on a built-in texture, find painted defects, show the table and name the picture."""
    options = _parser().parse_args(arguments)
    from anomaly_diffusion.cli.parsing import lightning_cli
    from anomaly_diffusion.cli.parsing.arguments import prepare
    from anomaly_diffusion.cli.user_errors import UsageError

    if options.steps is not None and options.steps < 1:
        raise UsageError(f"`--steps` must be at least 1, got {options.steps}.")
    words = [
        "--config",
        "model/pixel.yaml",
        "--config",
        "demo.yaml",
        "--seed_everything",
        str(options.seed),
        "--runs_dir",
        str(options.runs_dir),
    ]
    words += ["--data.dataset.init_args.texture", options.texture, "--experiment", f"demo-{options.texture}"]
    if options.steps is not None:
        words += ["--trainer.max_steps", str(options.steps), "--trainer.val_check_interval", str(options.steps)]
    return lightning_cli.main(prepare("train", words, tell=lambda line: None))  # the order of configs is not the user's


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion demo",
        description="Train on a built-in photograph and find painted defects in unseen parts of it.",
    )
    parser.add_argument("--texture", choices=TEXTURES, default="brick", help="which photograph (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="training steps (default: as in experiments/demo.yaml)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: %(default)s)")
    return parser
