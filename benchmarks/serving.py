"""Asks whether a server loses photographs: many clients at once, every answer held against the inspector's.

    python benchmarks/serving.py runs/EXPERIMENT/RUN --clients 8 --photographs 200 --workers 2

starts `anomaly-diffusion serve` on a free port of this machine, sends photographs of brick, a third of them with a
white bar, and ends it. Exit status 1 if one is lost or judged differently.
"""

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from anomaly_diffusion.deploy.inspection import Inspection
from anomaly_diffusion.deploy.inspector import Inspector

_KINDS = 24  # photographs that differ


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        paths = _photographs(Path(folder))
        inspector = Inspector(options.run)
        expected = [inspector(path) for path in paths]
        port = _free_port()
        address = f"http://127.0.0.1:{port}"
        words = ["serve", options.run, "--port", str(port), "--workers", str(options.workers)]
        process = subprocess.Popen([sys.executable, "-m", "anomaly_diffusion", *words], stdout=subprocess.DEVNULL)
        try:
            _wait(process, f"{address}/health")
            start = time.perf_counter()
            with ThreadPoolExecutor(options.clients) as clients:
                asked = [
                    clients.submit(_client, address, paths, expected, options.photographs, number)
                    for number in range(options.clients)
                ]
            seconds = time.perf_counter() - start
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    took = [one for client in asked for one in client.result()]
    total, answered = options.clients * options.photographs, [one for one in took if one is not None]
    unlike = sum(not alike for alike, _ in answered)
    print(f"{len(answered)} of {total} answered, {unlike} unlike the inspector; {total / seconds:.1f} photographs/s")
    latencies = [latency for _, latency in answered]
    print(f"latency: median {statistics.median(latencies):.3f} s, longest {max(latencies):.3f} s")
    return int(unlike > 0 or len(answered) < total)


def _client(
    address: str, paths: list[Path], expected: list[Inspection], count: int, number: int
) -> list[tuple[bool, float] | None]:
    """What became of the photographs of one client: whether the verdict is the inspector's, and seconds; None: lost."""
    found: list[tuple[bool, float] | None] = []
    for turn in range(count):
        at = (number + turn) % len(paths)
        start = time.perf_counter()
        request = urllib.request.Request(f"{address}/predict?name={paths[at].name}", data=paths[at].read_bytes())
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                said = json.load(answer)
        except OSError:
            found.append(None)
            continue
        ours = expected[at]
        alike = (said["score"], said["verdict"] == "defective") == (ours.score, ours.defective)
        found.append((alike, time.perf_counter() - start))
    return found


def _photographs(folder: Path) -> list[Path]:
    from skimage import data

    brick = data.brick()
    for number in range(_KINDS):
        pixels = np.ascontiguousarray(brick[12 * number : 12 * number + 96, 90:218])
        if number % 3 == 2:
            pixels[20:40, 5:65] = 255
        cv2.imwrite(str(folder / f"{number:02}.png"), pixels)
    return sorted(folder.glob("*.png"))


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("The server did not start.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--photographs", type=int, default=200, help="of each client")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
