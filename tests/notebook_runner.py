"""Executes notebooks with this interpreter, in a folder of their own; as a program, it writes their outputs anew."""

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FEW = {
    "trainer.max_steps": "2", "trainer.val_check_interval": "2", "data.image_size": "[32, 32]",
    "data.dataset.init_args.train": "16", "data.dataset.init_args.validation": "8",
}  # fmt: skip
LIMIT = 3600  # seconds for a cell, of which one trains a sweep: only a hang takes as long, however busy the machine


def executed(path: Path, folder: Path, limit: int = LIMIT, quick: bool = False) -> nbformat.NotebookNode:
    """The notebook with fresh outputs; its kernel runs in `folder` and imports the package of this checkout.

    `quick` takes the settings `FEW` in place of the notebook's own: all cells run, and no figure means anything.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from nbclient import NotebookClient

    specs = KernelSpecManager(kernel_dirs=[])  # leaves the native one, which is this interpreter
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells if quick else ():
        cell.source = quickened(cell.source)
    place = {"metadata": {"path": str(folder)}}
    patience = {"timeout": limit, "startup_timeout": limit}  # a kernel may take a minute to start on a busy machine
    client = NotebookClient(notebook, km=manager, resources=place, record_timing=False, **patience)
    return client.execute(env=environment(folder), cleanup_kc=True)  # a manager of our own is not cleaned up else


def quickened(source: str) -> str:
    """A cell with the settings `FEW` in place of those that it has, and frames as small where it trains."""
    for name, value in FEW.items():
        source = re.sub(rf'("{re.escape(name)}"): (?:\d+|\[.*?\])', rf"\1: {value}", source)
    if "few = {" in source and "data.image_size" not in source:
        source = source.replace("few = {", f'few = {{"data.image_size": {FEW["data.image_size"]},')
    return source


def environment(folder: Path) -> dict[str, str]:
    """One thread, no network, no settings of the user, no weights of this machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANOMALY_DIFFUSION_")}
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    return kept | own | {"PYTHONWARNINGS": "ignore:IProgress not found"}  # of tqdm, which shows nothing here


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what differs from one execution to the next: versions, times, numbers of processes."""
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": spec, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def main(names: list[str]) -> None:
    """Execute the notebooks of these names, or all, and keep their outputs."""
    for path in (path for path in NOTEBOOKS if not names or path.stem in names):
        with TemporaryDirectory() as folder:
            nbformat.write(cleaned(executed(path, Path(folder), LIMIT)), path)
        print(path.name, path.stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main(sys.argv[1:])
