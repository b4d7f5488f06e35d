"""A small run, photographs, and programs that serve them in processes of their own."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from commands import unchanged_process
from program import environment
from small_run import NARROW, SMALL_RUN

from anomaly_diffusion.api import train

SMALL = SMALL_RUN | NARROW
SMALL |= {"data.dataset.init_args.validation": 20, "data.dataset.init_args.test": 8}
SMALL |= {"data.image_size": [32, 48], "data.loading.policy": "Letterbox"}
_WATCHED = """
import os, sys
def heard(event, told):
    if event == "socket.connect" and isinstance(told[1], tuple) and not str(told[1][0]).startswith(("127.", "::1")):
        with open(os.environ["WATCHED_SOCKETS"], "a") as log:
            print(told[1], file=log)
sys.addaudithook(heard)
"""
_LONGEST = 120  # seconds that a program may take to answer first


def trained(folder: Path, runs: int = 1) -> list[Path]:
    """Train tiny runs in `folder`/runs and return their folders."""
    with unchanged_process():
        return [
            train("model/pixel.yaml", settings=SMALL | {"runs_dir": folder / "runs", "experiment": "small"}).folder
            for _ in range(runs)
        ]


def photographs(folder: Path, count: int) -> list[Path]:
    """Small photographs of brick, every third with a white bar, of three sizes."""
    from skimage import data

    brick = data.brick()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        height, width = ((64, 64), (50, 80), (120, 40))[number % 3]
        top = 3 * number % 380
        pixels = brick[top : top + height, 90 : 90 + width].copy()
        if number % 3 == 2:
            pixels[20:40, 5:35] = 255
        cv2.imwrite(str(folder / f"{number:03}.png"), np.ascontiguousarray(pixels))
    return sorted(folder.glob("*.png"))


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(path: str, *words: str) -> Iterator[str]:
    """A command that serves, from its first answer at `path` on until a signal ends it; the address.

    None of its processes may connect to another machine.
    """
    port = free_port()
    command = [sys.executable, "-m", "anomaly_diffusion", *words, "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        variables, log = environment(), Path(folder, "connections.txt")
        Path(folder, "sitecustomize.py").write_text(_WATCHED)
        variables |= {"PYTHONPATH": f"{folder}:{variables['PYTHONPATH']}", "WATCHED_SOCKETS": str(log)}
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            _wait(process, address + path)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            told, _ = process.communicate(timeout=60)
        assert process.returncode == 0, told  # ended by the signal, and nothing left behind that holds its output
        assert not log.exists(), log.read_text()


def _wait(process: "subprocess.Popen[str]", address: str) -> None:
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.kill()
    raise TimeoutError(f"{address} does not answer: {process.communicate()[0]}")
