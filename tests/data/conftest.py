"""Small data sets on disk, and a way to see which files are opened."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from trees import write, write_mask

from anomaly_diffusion.data.reading import photographs as reader
from anomaly_diffusion.data.reading.byte_cache import FOLDER_VARIABLE


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    """A category of 40 training, 4 good and 6 defective test images."""
    root = tmp_path / "widget"
    for number in range(40):
        write(root / f"train/good/{number:03}.png", number)
    for number in range(4):
        write(root / f"test/good/{number:03}.png", 100 + number)
    for number in range(6):
        write(root / f"test/hole/{number:03}.png", 200 + number)
        write_mask(root / f"ground_truth/hole/{number:03}_mask.png")
    return root


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twenty good photographs and three with a scratch."""
    for number in range(20):
        write(tmp_path / f"good/{number:03}.png", number)
    for number in range(3):
        write(tmp_path / f"scratch/{number:03}.png", 100 + number)
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is decoded or read while the test runs."""
    paths: list[Path] = []
    decode, read_bytes = reader._decode, Path.read_bytes

    def spy(path):
        paths.append(path)
        return decode(path)

    def spy_bytes(path):
        paths.append(path)
        return read_bytes(path)

    monkeypatch.setattr(reader, "_decode", spy)
    monkeypatch.setattr(Path, "read_bytes", spy_bytes)
    return paths


@pytest.fixture
def real_data() -> Path:
    root = os.environ.get("ANOMALY_DIFFUSION_DATA")
    if root is None:
        pytest.skip("ANOMALY_DIFFUSION_DATA does not name the folder of the real sets")
    return Path(root)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """`elsewhere(folder)` is the URL of a copy of it, which is read through a cache of this test's own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    there = fsspec.filesystem("memory")

    def copied(folder: Path) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                there.pipe(f"/elsewhere/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return "memory://elsewhere"

    yield copied
    there.store.clear()
    there.pseudo_dirs[:] = [""]
