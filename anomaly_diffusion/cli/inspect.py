"""`inspect`: a page in a browser about finished runs, photographs and test sets."""

import argparse
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Open the page until a signal comes; say where, and whom it lets in."""
    options = _parser().parse_args(arguments)
    if not 1024 <= options.port <= 65535:
        raise UsageError(f"`--port` must lie in [1024, 65535], got {options.port}.")
    from anomaly_diffusion.runs import run_folder
    from anomaly_diffusion.runs.record import Run

    folders = dict.fromkeys(run_folder.find(run, options.runs_dir) for run in options.runs)
    _check_port(options.host, options.port)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when Gradio is imported; photographs do not stay behind
        from anomaly_diffusion.deploy.inspecting.opened_run import OpenedRun
        from anomaly_diffusion.deploy.inspecting.page import made, opened

        page = made([OpenedRun(Run(path)) for path in folders])
        if options.host != "127.0.0.1":
            told = f"warning: {options.host} lets every machine in that reaches this one, without a password."
            print(f"{told} Without --host, this machine alone is let in.", file=sys.stderr)
        print(f"Open http://127.0.0.1:{options.port} in a browser; Ctrl-C ends it.", flush=True)
        signal.signal(signal.SIGTERM, _interrupt)
        opened(page, options.host, options.port)
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                f"Port {port} of {host} cannot be used ({error.strerror}). Choose another: --port {port + 1}"
            ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion inspect",
        description="Look at photographs, maps and regions in a browser; browse the test set at any rate of false "
        "alarms; compare runs; mark false alarms, which --data.feedback trains on.",
    )
    parser.add_argument("runs", nargs="*", default=["last"], help="run folders, or last (default); two are compared")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine alone; 0.0.0.0: everyone")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860")
    return parser
