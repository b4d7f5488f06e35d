"""`data`: lists open data sets, shows their licences, and downloads them."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from anomaly_diffusion.data.open_sets.catalogue import OPEN_SETS, OpenSet

__all__ = ["main"]

_ROOM = 3  # what an archive and its content take, in sizes of the archive


def main(arguments: list[str]) -> int:
    """List data sets, or get one."""
    options = _parser().parse_args(arguments)
    if options.action == "list":
        print("\n\n".join(_described(one) for one in OPEN_SETS.values()))
    else:
        _get(OPEN_SETS[options.name], options.folder, options.accept_licence)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anomaly-diffusion data", description="Open data sets: list them, get one.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|get")
    actions.add_parser("list", help="names, licences, sizes, owners")
    get = actions.add_parser("get", help="download, check and unpack one; again after an interruption: goes on")
    get.add_argument("name", choices=OPEN_SETS)
    get.add_argument(
        "--folder",
        type=Path,
        default=Path(os.environ.get("ANOMALY_DIFFUSION_DATA", ".")),
        help="where it becomes a folder of its name (default: $ANOMALY_DIFFUSION_DATA, or here)",
    )
    get.add_argument("--accept_licence", action="store_true", help="say yes to the licence beforehand")
    return parser


def _described(one: OpenSet) -> str:
    lines = (one.title, f"{one.gigabytes:g} GB · {one.licence}", one.page, f"cite: {one.reference}")
    return "\n".join([one.name, *(f"  {line}" for line in lines)])


def _get(one: OpenSet, place: Path, accepted: bool) -> None:
    from anomaly_diffusion.data.open_sets.archive import extract

    folder = place / one.name
    print(_described(one))
    if folder.exists():
        raise FileExistsError(f"{folder} exists already. Delete it first, or name another --folder.")
    if not accepted:
        _ask(one)
    place.mkdir(parents=True, exist_ok=True)
    archive = place / one.url.rpartition("/")[2]
    _check_room(one, place)
    _download(one, archive)
    print("unpacking ...", flush=True)
    extract(archive, folder, one.root)
    archive.unlink()
    print(f"{folder} is ready: anomaly-diffusion train --config experiments/model/pixel.yaml --config {one.experiment}")
    if place.resolve() != Path(os.environ.get("ANOMALY_DIFFUSION_DATA", ".")).resolve():
        print(f"Tell the program where: export ANOMALY_DIFFUSION_DATA={place.resolve()}")


def _ask(one: OpenSet) -> None:
    """Refuse, unless somebody at a terminal says yes."""
    if sys.stdin.isatty() and input("Do you accept this licence? [y/N] ").strip().lower() in ("y", "yes"):
        return
    raise ValueError(f"The licence has not been accepted. Read {one.page}, then add --accept_licence")


def _check_room(one: OpenSet, place: Path) -> None:
    wanted, free = _ROOM * one.gigabytes, shutil.disk_usage(place).free / 1e9
    if free < wanted:
        raise OSError(f"{place} has {free:.1f} GB left; {one.name} takes {wanted:.1f} GB until it is unpacked.")


def _download(one: OpenSet, archive: Path) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from anomaly_diffusion.data.open_sets.download import download

    columns = "downloading", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=None)
        download(one.url, archive, one.sha256, lambda done, total: bar.update(task, completed=done, total=total))
