"""`completion`: the script by which bash or zsh completes commands, options and files."""

import argparse
import importlib
import re
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli import help_text
from anomaly_diffusion.cli.listing import KINDS
from anomaly_diffusion.cli.main import COMMANDS, TRAINER_VERBS

__all__ = ["main"]

_SHELLS = ("bash", "zsh")
_OPTION = re.compile(r"(?P<name>--[\w.]+)(?: (?P<value>[^\s,-]\S*))?")
_FILES = re.compile(r"FILE|FOLDER|YAML", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Print the script for a shell."""
    options = _parser().parse_args(arguments)
    try:
        import shtab
    except ImportError:
        raise ImportError("shtab is not installed. Run: pip install 'anomaly-diffusion[completion]'") from None
    program = _program(shtab.FILE)
    print(shtab.complete(program, options.shell))
    return 0


def _program(file: Any) -> argparse.ArgumentParser:
    """All commands as one parser; `file` marks what is a path."""
    program = argparse.ArgumentParser(prog="anomaly-diffusion")
    program.add_argument("--version", action="store_true", help="tell the version")
    verbs = program.add_subparsers()
    for name, module in COMMANDS.items():
        own = getattr(importlib.import_module(module), "_parser", None)
        parents = [own()] if own else []
        told = parents[0].description if parents else name  # shtab hides what has no help
        command = verbs.add_parser(name, parents=parents, add_help=not parents, help=told)
        if name == "list":
            command.add_argument("kind", nargs="?", choices=[*KINDS, "experiments"])
        _prepare(command, file)
    for name in TRAINER_VERBS:
        _add_options(verbs.add_parser(name, help=help_text.PURPOSES[name]), name, file)
    return program


def _prepare(command: argparse.ArgumentParser, file: Any) -> None:
    """Mark paths, and let choices be lists: shtab takes an option with a mapping for one that has commands."""
    for action in command._actions:
        if action.type is Path:
            action.complete = file  # type: ignore[attr-defined]  # where shtab looks
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _prepare(below, file)
        elif action.choices is not None:
            action.choices = list(action.choices)


def _add_options(command: argparse.ArgumentParser, verb: str, file: Any) -> None:
    """The options of a verb of Lightning that its short help names: to know them all takes seconds."""
    usual = {match["name"]: match["value"] or "" for match in _OPTION.finditer(help_text.verb(verb))}
    for name, value in usual.items():
        if name not in ("--help", "--help_full", "--print_config"):
            action = command.add_argument(name, metavar=value or None)
            if _FILES.search(value) or name in ("--config", "--run_folder", "--resume", "--ckpt_path", "--runs_dir"):
                action.complete = file  # type: ignore[attr-defined]
        elif name != "--help":
            command.add_argument(name, action="store_true")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion completion",
        description="Print the script that completes commands, options and files: source it, or save it where your "
        "shell looks for completions.",
    )
    parser.add_argument("shell", choices=_SHELLS, help="which shell")
    return parser
