"""Carries out command lines in forks of one process that has imported everything, and kills them where it is told to.

Reads one JSON object a line: the words of a command, its variables, a file for what it prints, where to kill it, and
what it may take.
Answers with the status of the process: negative for a signal.
"""

import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any, NoReturn

from blank_pictures import blank_pictures

USED = ("albumentations", "imageio", "skimage.metrics", "skimage.filters")  # by every run, and slow to import


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counted(count: float, act: Callable[..., None]) -> Callable[..., None]:
    """Act at the call of that number."""
    calls = 0

    def call(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            act(*arguments)

    return call


def wrapped(owner: Any, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    original = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        if before:
            before(*arguments)
        result = original(*arguments, **named)
        if after:
            after(*arguments)
        return result

    setattr(owner, name, call)


def accident(kind: str) -> None:
    """Let something go wrong.

    Args:
        kind: the "disk" is full, a "worker" killed, photographs are "torn", "ctrl-c" is pressed, "ctrl-c twice", or
            "ctrl-c group": the workers get it as well.
    """
    if kind == "disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    elif kind == "worker":
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
    elif kind.startswith("ctrl-c"):
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text() if "group" in kind else ""
        for process in (*map(int, children.split()), *[os.getpid()] * (1 + kind.endswith("twice"))):
            os.kill(process, signal.SIGINT)
    elif kind == "torn":
        for path in Path("photographs/good").glob("*.png"):
            path.write_bytes(path.read_bytes()[:100])


def arm(place: str, count: float) -> None:
    """Prepare the death of this process.

    Args:
        place: "step": after a training step; "half": with half a checkpoint written; "written": before it is moved to
            its place; "moved": after; "rows": while metrics.csv is written; "test": at a test batch;
            "kept": after a verdict of a test; "told": after a line of a prediction; "half told": with half of it;
            "time": after `count` seconds; "offline": no death, W&B cannot be reached; "memory": none, it is short;
            any other: no death but that `accident`, after a training step.
        count: the first, second, ... time.
    """
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from anomaly_diffusion.detectors.detector import Detector
    from anomaly_diffusion.detectors.recollection import Recollection
    from anomaly_diffusion.engine import checkpoints, loggers
    from anomaly_diffusion.runs.predictions import Predictions

    def half(path: Path, content: Any = None) -> None:
        path.write_bytes(bytes(content[: len(content) // 2]))
        die()

    def half_a_line(table: Any, text: str) -> None:
        table._stream.write(text[: len(text) // 2])
        table._stream.flush()
        die()

    strike = counted(count, die)
    if place == "memory":  # of which so many megabytes are left
        leave(count)
        return
    if place == "offline":  # no server answers there
        os.environ |= {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40, "WANDB_INIT_TIMEOUT": "4"}
        return
    if place == "step":
        register_optimizer_step_post_hook(strike)
    elif place == "half":
        tear = counted(count, half)
        wrapped(checkpoints, "_write_through", lambda *a: tear(*a) if len(a) == 2 else None, None)
    elif place in ("written", "moved"):
        hooks = (None, strike) if place == "moved" else (strike, None)
        chosen = [hook and (lambda _, to, hook=hook: hook() if str(to).endswith("t.ckpt") else None) for hook in hooks]
        wrapped(os, "replace", *chosen)
    elif place == "rows":
        wrapped(loggers._GrowingFile, "save", None, strike)
    elif place == "time":
        Timer(count, die).start()
    elif place == "kept":
        wrapped(Recollection, "_keep", None, strike)
    elif place == "told":
        wrapped(Predictions, "write", None, strike)
    elif place == "half told":
        wrapped(Predictions, "_put", counted(count, half_a_line), None)
    elif place == "test":
        wrapped(Detector, "test_step", strike, None)
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
        register_optimizer_step_post_hook(counted(count, lambda *_: accident(place)))


def limit(seconds: float, megabytes: float) -> None:
    """Let this process, in a group of its own, be stopped after so long, and have no more memory than this."""
    os.setsid()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    leave(megabytes)


def leave(megabytes: float) -> None:
    """Let this process have no more memory than this beside what it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes * 1e6),) * 2)


def carry_out(order: dict[str, Any]) -> int:
    """Fork as often as asked, run the command there, and return how the first one of them that failed ended."""
    count = order.get("processes") or 1
    port = free_port()
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            run(order, launched(rank, count, port) if count > 1 else {})
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if order.get("limits"):
        with suppress(ProcessLookupError):
            os.killpg(children[0], signal.SIGKILL)  # what a process that was stopped has left behind
    return next((status for status in statuses if status), 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launched(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells the processes that it starts."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    return {name: str(number) for name, number in numbers.items()} | place


def run(order: dict[str, Any], environment: dict[str, str]) -> NoReturn:
    """Run the command, and end this process."""
    status = 70
    try:
        from pytorch_lightning.utilities import rank_zero_only

        os.environ.clear()
        os.environ.update(order["environment"] | environment)
        rank_zero_only.rank = int(environment.get("RANK", 0))  # found out at import, when there was no rank
        append = 0 if rank_zero_only.rank else os.O_TRUNC
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | append)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the orders are not the command's to read
        os.chdir(order["folder"])
        if order.get("limits"):
            limit(**order["limits"])
        if order.get("kill"):
            arm(*order["kill"])
        from anomaly_diffusion.cli.main import main

        status = main(order["words"])
    except SystemExit as end:  # after --help, say
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    import torch

    from anomaly_diffusion import torchvision_import

    torchvision_import.install()
    from anomaly_diffusion.cli.parsing import lightning_cli

    torch.set_num_threads(1)
    blank_pictures()
    lightning_cli.import_rooms()
    lightning_cli.classes()
    for name in USED:
        importlib.import_module(name)
    gc.freeze()  # what a fork collects it copies
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        print(carry_out(json.loads(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
