"""The front door: answers what needs no torch at once, hands the rest to the verb, and explains mistakes briefly."""

import importlib
import os
import sys
import warnings

from anomaly_diffusion import __version__, torchvision_import
from anomaly_diffusion.cli import help_text, user_errors

torchvision_import.install()  # on import: a process that is spawned for training imports this, and does not call it

# verb -> the module whose `main(arguments) -> int` carries it out
COMMANDS = {
    "demo": "anomaly_diffusion.cli.demo",
    "data": "anomaly_diffusion.cli.open_data",
    "doctor": "anomaly_diffusion.cli.doctor",
    "sweep": "anomaly_diffusion.cli.sweep",
    "compare": "anomaly_diffusion.cli.compare",
    "report": "anomaly_diffusion.cli.report",
    "predict": "anomaly_diffusion.cli.predict",
    "paper": "anomaly_diffusion.cli.paper",
    "choose": "anomaly_diffusion.cli.choose",
    "detection_limit": "anomaly_diffusion.cli.detection_limit",
    "serve": "anomaly_diffusion.cli.serve",
    "inspect": "anomaly_diffusion.cli.inspect",
    "export": "anomaly_diffusion.cli.export",
    "add": "anomaly_diffusion.cli.add",
    "list": "anomaly_diffusion.cli.listing",
    "checks": "anomaly_diffusion.cli.checks",
    "completion": "anomaly_diffusion.cli.completion",
    "tiny_pipeline": "anomaly_diffusion.cli.tiny_pipeline",
}
TRAINER_VERBS = ("train", "fit", "validate", "test")
VERBS = (*COMMANDS, *TRAINER_VERBS)
_INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command line and return its exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments or os.environ.get("ANOMALY_DIFFUSION_DEBUG", "0") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return _say(help_text.overview())
    if arguments[0] in ("-V", "--version", "version"):
        return _say(f"anomaly-diffusion {__version__}")
    if arguments[0] not in VERBS:
        return _refuse_verb(arguments[0])
    if arguments[0] in (*TRAINER_VERBS, "predict") and {"-h", "--help"} & set(arguments):
        return _say(help_text.verb(arguments[0]))
    return _guarded(arguments[0], arguments[1:], debug)


def _guarded(verb: str, arguments: list[str], debug: bool) -> int:
    """Run the verb; a mistake ends in a message instead of a traceback."""
    try:
        return _dispatch(verb, arguments)
    except KeyboardInterrupt:
        return _interrupted(verb)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into exit(1)
            return _interrupted(verb)
        raise
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug or not user_errors.is_mistake(error):
            raise
        print(user_errors.explain(error, arguments), file=sys.stderr)
        if isinstance(error, user_errors.UsageError):
            return 2
        print("(--debug shows where it happened)", file=sys.stderr)
        return 1


def _dispatch(verb: str, arguments: list[str]) -> int:
    if verb in COMMANDS:
        return int(importlib.import_module(COMMANDS[verb]).main(arguments))
    from anomaly_diffusion.cli.parsing.arguments import prepare

    request = prepare(verb, arguments)  # wrong paths are told before torch is imported
    with warnings.catch_warnings():
        from anomaly_diffusion.cli.parsing import lightning_cli

        return lightning_cli.main(request)


def _say(text: str) -> int:
    print(text)
    return 0


def _refuse_verb(word: str) -> int:
    hint = user_errors.closest(word, VERBS) or f" Known: {', '.join(VERBS)}."
    print(f"error: `{word}` is no command.{hint}", file=sys.stderr)
    return 2


def _interrupted(verb: str) -> int:
    resume = f" Go on from its last checkpoint: anomaly-diffusion {verb} --resume RUN_FOLDER"
    hint = resume if verb in ("fit", "train") else ""
    print(f"Interrupted.{hint}", file=sys.stderr)
    return _INTERRUPTED
