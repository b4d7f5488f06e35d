"""`serve`: a finished run behind HTTP, for other programs of this machine."""

import argparse
from pathlib import Path

from anomaly_diffusion.cli.local_servers import check_address, need, tell_of_strangers
from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Serve until a signal comes; say where, and whom it lets in."""
    options = _parser().parse_args(arguments)
    need("litserve", "serve")
    source = _source(options.run, options.runs_dir)
    from anomaly_diffusion.deploy.serving.server import Judging, Service
    from anomaly_diffusion.deploy.serving.uploads import Limits

    try:
        judging = Judging(
            source,
            options.false_alarms,
            options.device,
            options.workers,
            options.batch_size,
            options.batch_wait,
            options.category,
        )
        limits = Limits(int(options.max_megabytes * 1e6), int(options.max_megapixels * 1e6), options.timeout)
        service = Service(judging, limits, options.host, options.port)
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_address(options.host, options.port)
    tell_of_strangers(options.host)
    address = "[::1]" if options.host == "::" else "127.0.0.1"
    print(f"{source} judges what is sent to http://{address}:{options.port}/predict", flush=True)
    print("It is ready when /health says ok; /metrics counts; Ctrl-C ends it.", flush=True)
    service.run()
    return 0


def _source(run: str, runs: Path) -> str:
    """The exported file, or the folder of a run that has a checkpoint."""
    if Path(run).is_file():
        return run
    from anomaly_diffusion.runs import run_folder

    folder = run_folder.find(run, runs)
    evaluation = run_folder.evaluation_of(folder)
    run_folder.checkpoint(evaluation[0] if evaluation else folder, run_folder.BEST, run_folder.LAST)
    return str(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anomaly-diffusion serve",
        description="Judge photographs that other programs send by HTTP: POST one to /predict, as the body or as a "
        "file of a form, and get its verdict as JSON; ?map=picture or ?map=values gets the map as PNG.",
    )
    parser.add_argument("run", nargs="?", default="last", help="a run, an exported file, or last (default)")
    parser.add_argument("--runs_dir", type=Path, default=Path("runs"), help="where runs go (default: runs)")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine alone; 0.0.0.0: everyone")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="default: 8000")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that judge (default: 1)")
    parser.add_argument("--batch_size", type=int, default=4, metavar="N", help="judged together (default: 4)")
    wait = "how long a batch waits for more (default: 0.01)"
    parser.add_argument("--batch_wait", type=float, default=0.01, metavar="SECONDS", help=wait)
    parser.add_argument("--max_megabytes", type=float, default=32, metavar="MB", help="of a request (default: 32)")
    parser.add_argument("--max_megapixels", type=float, default=64, metavar="MP", help="of a photograph (default: 64)")
    times = "that a request may take to arrive, and to wait for a worker (default: 30)"
    parser.add_argument("--timeout", type=float, default=30, metavar="SECONDS", help=times)
    parser.add_argument("--false_alarms", type=float, metavar="RATE", help="default: what the run promises")
    parser.add_argument("--category", metavar="NAME", help="what all photographs show, where the run knows several")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, or another that torch knows")
    return parser
