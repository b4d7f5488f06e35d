"""`inspect`: a page in a browser about finished runs, photographs and test sets."""

import argparse
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

from anomaly_diffusion.cli.local_servers import check_address, need, tell_of_strangers

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Open the page until a signal comes; say where, and whom it lets in."""
    options = _parser().parse_args(arguments)
    need("gradio", "inspect")
    from anomaly_diffusion.runs import run_folder
    from anomaly_diffusion.runs.record import Run

    folders = dict.fromkeys(run_folder.find(run, options.runs_dir) for run in options.runs)
    check_address(options.host, options.port)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when Gradio is imported; photographs do not stay behind
        from anomaly_diffusion.deploy.inspecting.opened_run import OpenedRun
        from anomaly_diffusion.deploy.inspecting.page import made, opened

        page = made([OpenedRun(Run(path), options.category) for path in folders])
        tell_of_strangers(options.host)
        print(f"Open http://127.0.0.1:{options.port} in a browser; Ctrl-C ends it.", flush=True)
        signal.signal(signal.SIGTERM, _interrupt)
        opened(page, options.host, options.port)
    return 0


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion inspect",
        description="Look at photographs, maps and regions in a browser; browse the test set at any rate of false "
        "alarms; compare runs; mark false alarms, which --data.feedback trains on.",
    )
    parser.add_argument("runs", nargs="*", default=["last"], help="run folders, or last (default); two are compared")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    parser.add_argument("--category", metavar="NAME", help="which one is looked at, where a run knows several")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine alone; 0.0.0.0: everyone")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860")
    return parser
