"""Photographs that lie elsewhere: splits, frames and scores are those of the same files here, and faults are told."""

import pickle
import shutil

import fsspec
import pytest
import torch
from commands import unchanged_process
from fsspec.implementations.memory import MemoryFileSystem
from small_run import SMALL_RUN
from trees import ready, write, write_mask

from anomaly_diffusion.api import train
from anomaly_diffusion.cli import doctor
from anomaly_diffusion.data.datamodule import AnomalyDataModule
from anomaly_diffusion.data.frame_cache import Loading
from anomaly_diffusion.data.layouts.folder import Folder, Images
from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.layouts.tabular import Tabular
from anomaly_diffusion.data.reading.byte_cache import SIZE_VARIABLE
from anomaly_diffusion.data.reading.photographs import BadImages
from anomaly_diffusion.data.reading.remote import RemotePath, located
from anomaly_diffusion.data.sample import DATA_VARIABLE
from anomaly_diffusion.data.split import Split, Validation

URL = "memory://elsewhere"


@pytest.fixture
def fetched(monkeypatch):
    """The names of files that are asked for elsewhere."""
    names, fetch = [], MemoryFileSystem.cat_file
    monkeypatch.setattr(
        MemoryFileSystem, "cat_file", lambda self, path, *rest: names.append(path) or fetch(self, path, *rest)
    )
    return names


def with_copies(photographs):
    """Twenty photographs, of which two have copies and all are of about the same length."""
    for number in (3, 11):
        shutil.copy(photographs / f"good/{number:03}.png", photographs / f"good/copy_{number}.png")
    return photographs


@pytest.mark.parametrize("size", ["10", "0", "0.00002"], ids=["roomy", "none", "tight"])
def test_a_split_is_that_of_the_same_files_here_whatever_the_cache_holds(photographs, elsewhere, monkeypatch, size):
    monkeypatch.setenv(SIZE_VARIABLE, size)
    splits = [Split.of(Folder(root), Validation()) for root in (with_copies(photographs), elsewhere(photographs), URL)]
    for file in (photographs / "cache").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    splits.append(Split.of(Folder(URL), Validation()))
    shutil.rmtree(photographs / "cache", ignore_errors=True)
    splits.append(Split.of(Folder(URL), Validation()))
    assert all(split == splits[0] for split in splits)


def test_frames_are_the_same_bits_and_files_are_fetched_once(photographs, elsewhere, fetched):
    here = ready(AnomalyDataModule(Folder(photographs), (32, 32)), "fit", "test")
    elsewhere(photographs)
    for _ in range(2):
        there = ready(AnomalyDataModule(Folder(URL), (32, 32)), "fit", "test")
        for mine, theirs in (
            (here.train_dataloader(), there.train_dataloader()),
            (here.test_dataloader(), there.test_dataloader()),
        ):
            for one, other in zip(mine, theirs, strict=True):
                assert torch.equal(one.image, other.image)
                assert one.path == other.path
    assert len(fetched) == len(set(fetched)) == 23


def test_scores_of_a_run_are_those_of_the_same_files_here(photographs, elsewhere):
    (photographs / "here").mkdir()
    for name in ("good", "scratch"):
        (photographs / name).rename(photographs / "here" / name)
    for number in range(3):
        write_mask(photographs / f"here/masks/scratch/{number:03}.png")
    scores = []
    small = {name: value for name, value in SMALL_RUN.items() if "dataset" not in name}
    for root in (photographs / "here", elsewhere(photographs / "here")):
        dataset = {"data.dataset": "Folder", "data.dataset.init_args.root": str(root), "data.image_size": [32, 32]}
        with unchanged_process():
            run = train("model/pixel.yaml", settings=small | dataset | {"runs_dir": photographs / "runs"})
        scores.append([(row["path"], row["score"], row["map_max"]) for row in run.rows("per_image.csv")])
    assert scores[0] == scores[1]
    assert len(scores[0]) == 7


def test_processes_that_load_share_the_cache(photographs, elsewhere):
    elsewhere(photographs)
    loading = Loading(cache_mb=0, num_workers=2, check=False)
    here = ready(AnomalyDataModule(Folder(photographs), (32, 32), 4, loading=loading), "test")
    there = ready(AnomalyDataModule(Folder(URL), (32, 32), 4, loading=loading), "test")
    for one, other in zip(here.test_dataloader(), there.test_dataloader(), strict=True):
        assert torch.equal(one.image, other.image)
    kept = [path for path in (photographs / "cache").rglob("*") if path.is_file()]
    assert len(kept) == 23, "each file once, and nothing unfinished"


def test_photographs_that_are_written_anew_are_fetched_anew(photographs, elsewhere):
    elsewhere(photographs)
    images = Images(URL)
    before = [images.read_image(sample) for sample in images.test_samples()]
    write(photographs / "good/000.png", 77)
    elsewhere(photographs)
    images = Images(URL)
    after = [images.read_image(sample) for sample in images.test_samples()]
    same = [bool((one == other).all()) for one, other in zip(before, after, strict=True)]
    assert same == [False] + [True] * 22


def test_a_list_here_may_name_photographs_there_and_the_other_way_round(photographs, elsewhere):
    mine, theirs = photographs / "good/000.png", f"{elsewhere(photographs)}/good/001.png"
    (photographs / "samples.csv").write_text(f"path,label\n{theirs},good\n{mine},good\n")
    elsewhere(photographs)
    for root in (photographs / "samples.csv", f"{URL}/samples.csv", URL):
        samples = Tabular(root)
        named = samples.train_samples() + samples.test_samples()
        assert {str(sample.path) for sample in named} == {theirs, str(mine)}
        assert all(samples.read_image(sample).shape == (40, 48, 3) for sample in named)


def test_a_relative_root_is_looked_for_below_a_url_too(mvtec, elsewhere, monkeypatch):
    elsewhere(mvtec.parent)
    monkeypatch.setenv(DATA_VARIABLE, URL)
    assert str(MVTecAD(category="widget", root=".").folder) == f"{URL}/widget"


def test_doctor_examines_a_url(photographs, elsewhere, capsys):
    assert doctor.main([elsewhere(photographs)]) == 0
    told = capsys.readouterr().out
    assert f"{URL}, read as Folder" in told
    assert "No bad file." in told


def test_a_path_elsewhere_is_told_as_its_url_and_survives_what_is_done_to_paths(elsewhere, photographs):
    root = located(elsewhere(photographs))
    path = root / "good" / "000.png"
    assert isinstance(path, RemotePath)
    for same in (pickle.loads(pickle.dumps(path)), located(str(path)), located(path), path.absolute(), path.resolve()):
        assert same == path
    assert str(path) == path.as_posix() == f"{URL}/good/000.png"
    assert str(path.relative_to(root)) == "good/000.png"
    assert str(path.with_suffix(".txt").parent.parent) == URL
    assert (path.is_file(), path.is_dir(), path.parent.is_dir(), path.exists()) == (True, False, True, True)
    assert path.stat().st_size == (photographs / "good/000.png").stat().st_size
    assert not (root / "good/999.png").exists()


@pytest.mark.parametrize("place", ["photographs", "/data/photographs", "odd:/name", "C:/photographs"])
def test_any_other_word_is_a_path_of_this_machine(place):
    assert type(located(place)) is not RemotePath
    assert str(located(place)) == place


def test_a_url_of_this_machine_is_a_path_of_it(photographs):
    assert located(f"file://{photographs}") == photographs


@pytest.mark.parametrize(("url", "package"), [("s3://b/x", "s3fs"), ("gs://b/x", "gcsfs"), ("abfs://b/x", "adlfs")])
def test_a_missing_backend_names_the_package_to_install(url, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    for dataset in (Folder, Images, Tabular, MVTecAD):
        with pytest.raises(
            ImportError, match=f"^{url} needs a package that is not installed. Run: pip install {package}$"
        ):
            dataset(url).test_samples()


@pytest.mark.parametrize("url", ["s4://bucket/x", "zip://x::s3://bucket/a.zip"])
def test_a_url_that_nobody_understands_is_refused(url):
    with pytest.raises(ValueError, match="`root` must be a folder or a URL such as s3://bucket/folder, got "):
        Folder(url)


def test_a_folder_that_is_not_there_is_told(elsewhere, photographs):
    elsewhere(photographs)
    with pytest.raises(FileNotFoundError, match=f"`root` must be a folder, but there is none at {URL}/nowhere"):
        Images(f"{URL}/nowhere").test_samples()


def test_a_file_that_vanishes_is_told_by_its_url(elsewhere, photographs):
    elsewhere(photographs)
    images = Images(URL)
    first, second = images.test_samples()[:2]
    fsspec.filesystem("memory").rm("/elsewhere/good/000.png")
    fsspec.filesystem("memory").pipe("/elsewhere/good/001.png", b"short")
    with pytest.raises(BadImages, match=f"{URL}/good/000.png: cannot be read .it is gone since it was listed"):
        images.read_image(first)
    with pytest.raises(BadImages, match=r"cannot be read .5 bytes came, but it had \d+ when it was listed"):
        images.read_image(second)


def test_a_place_that_cannot_be_reached_is_told_in_one_message(monkeypatch, elsewhere, photographs):
    elsewhere(photographs)

    def refused(self, path, *rest, **named):
        raise RuntimeError("Could not connect\nto the endpoint")

    monkeypatch.setattr(MemoryFileSystem, "ls", refused)
    with pytest.raises(
        ConnectionError, match=f"^{URL} cannot be listed: RuntimeError: Could not connect to the endpoint"
    ):
        Images(URL).test_samples()
    monkeypatch.undo()


def test_an_error_while_reading_is_told_with_the_file(monkeypatch, elsewhere, photographs):
    elsewhere(photographs)
    (first, *_) = Images(URL).test_samples()

    def refused(self, path, *rest, **named):
        raise RuntimeError("access denied")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refused)
    with pytest.raises(BadImages, match=f"{URL}/good/000.png: cannot be read .RuntimeError: access denied."):
        Images(URL).read_image(first)


def test_a_root_is_opened_where_the_folder_above_it_may_not_be_listed(monkeypatch, elsewhere, photographs):
    elsewhere(photographs)
    ls = MemoryFileSystem.ls

    def guarded(self, path, *rest, **named):
        if path.strip("/") == "elsewhere":
            raise PermissionError("Access Denied")
        return ls(self, path, *rest, **named)

    monkeypatch.setattr(MemoryFileSystem, "ls", guarded)
    assert len(Images(f"{URL}/good").test_samples()) == 20
    assert not located(f"{URL}/good").is_file()
