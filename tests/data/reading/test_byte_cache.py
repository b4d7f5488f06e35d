"""The cache on disk holds so many bytes at most, gives back what was put in, and bears company."""

import multiprocessing
import os
from pathlib import Path

import pytest

from anomaly_diffusion.data.reading.byte_cache import FOLDER_VARIABLE, SIZE_VARIABLE, ByteCache, byte_cache


def content(number: int) -> bytes:
    return bytes([number]) * 100


def read(cache: ByteCache, number: int, fetched: list[int] | None = None) -> bytes:
    def fetch() -> bytes:
        if fetched is not None:
            fetched.append(number)
        return content(number)

    return cache.read(f"{number:02x}-name", 100, fetch)


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def age(folder: Path) -> None:
    """Clocks of file systems are coarse: let all that is there be older, in the same order."""
    for path in folder.glob("*/*"):
        told = path.stat()
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns - 10**9))


def test_a_content_is_fetched_once_also_by_another_process(tmp_path):
    fetched: list[int] = []
    assert [read(ByteCache(tmp_path, 1000), 7, fetched) for _ in range(3)] == [content(7)] * 3
    assert fetched == [7]


def test_what_was_not_used_for_longest_goes_and_the_bound_is_kept(tmp_path):
    cache, fetched = ByteCache(tmp_path, 450), []
    for number in (1, 2, 3, 4, 1, 5):
        read(cache, number, fetched)
        age(tmp_path)
        assert taken(tmp_path) <= 450
    assert fetched == [1, 2, 3, 4, 5]
    read(cache, 1, fetched), read(cache, 2, fetched)
    assert fetched == [1, 2, 3, 4, 5, 2], "1 was used after 2"


def test_a_cache_of_an_earlier_run_counts(tmp_path):
    for number in range(8):
        read(ByteCache(tmp_path, 1000), number)
    read(ByteCache(tmp_path, 300), 9)
    assert taken(tmp_path) <= 300


@pytest.mark.parametrize("limit", [0, 99])
def test_what_is_larger_than_the_cache_is_not_kept(tmp_path, limit):
    fetched: list[int] = []
    assert [read(ByteCache(tmp_path, limit), 1, fetched) for _ in range(2)] == [content(1)] * 2
    assert fetched == [1, 1]
    assert taken(tmp_path) == 0


def test_a_torn_file_is_fetched_anew(tmp_path):
    cache = ByteCache(tmp_path, 1000)
    read(cache, 1)
    (file,) = tmp_path.glob("*/*")
    file.write_bytes(b"half")
    assert read(cache, 1) == content(1)
    assert file.read_bytes() == content(1)


def test_a_folder_that_cannot_be_written_is_told_once_and_read_past(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = ByteCache(tmp_path / "file", 1000)
    assert [read(cache, number) for number in (1, 2)] == [content(1), content(2)]
    (told,) = caplog.messages
    assert told.startswith(f"Files cannot be kept in {tmp_path / 'file'} (")


def pound(folder: str, seed: int) -> bool:
    cache = ByteCache(Path(folder), 1500)
    return all(read(cache, number) == content(number) for step in range(300) for number in [(seed * step) % 40])


def test_processes_share_a_cache(tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.starmap(pound, [(str(tmp_path), seed) for seed in (1, 3, 7, 11)]))
    assert taken(tmp_path) <= 1500 + 3 * max(30, 100)


def test_the_environment_says_where_and_how_large(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(SIZE_VARIABLE, "0.5")
    assert (byte_cache().folder, byte_cache().limit) == (tmp_path, 500_000_000)
    assert byte_cache() is byte_cache()
    for wrong in ("-1", "much", "nan", "inf"):
        monkeypatch.setenv(SIZE_VARIABLE, wrong)
        with pytest.raises(
            ValueError, match=f"`{SIZE_VARIABLE}` must be a number of gigabytes, at least 0, got {wrong}"
        ):
            byte_cache()
