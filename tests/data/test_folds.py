"""Few photographs are split by folds: all train, all are held out, and copies of one file are never parted."""

import shutil

import pytest
from trees import write

from anomaly_diffusion.data.layouts.mvtec import MVTecAD
from anomaly_diffusion.data.split import Split, Validation


def _folder(path, count: int) -> MVTecAD:
    for number in range(count):
        write(path / f"train/good/{number:02}.png", number)
    write(path / "test/scratch/0.png", 100)
    return MVTecAD(path)


@pytest.mark.parametrize(("count", "folds"), [(4, 2), (5, 2), (8, 2), (8, 3), (31, 2), (32, 5)])
def test_all_train_all_are_held_out_and_folds_have_all_in_equal_parts(tmp_path, count, folds):
    split = Split.of(_folder(tmp_path, count), Validation(folds=folds), by_folds=True)
    everyone = sorted(split.train)
    assert len(everyone) == count
    assert split.validation_normal == split.validation_painted == everyone
    assert sorted(name for fold in split.folds for name in fold) == everyone
    sizes = [len(fold) for fold in split.folds]
    assert len(sizes) == min(folds, count // 2)
    assert max(sizes) - min(sizes) <= 1


def test_copies_of_a_file_are_in_one_fold_however_many_there_are(tmp_path):
    folder = _folder(tmp_path, 6)
    for number in range(9):
        shutil.copy(tmp_path / "train/good/00.png", tmp_path / f"train/good/copy{number}.png")
    split = Split.of(folder, Validation(folds=3), by_folds=True)
    alike = {"train/good/00.png", *(f"train/good/copy{number}.png" for number in range(9))}
    assert [alike & set(fold) for fold in split.folds if alike & set(fold)] == [alike]
    assert all({name for name in fold if name not in alike} for fold in split.folds)


@pytest.mark.parametrize(
    ("count", "folds", "by_folds"), [(33, 2, True), (32, 1, True), (32, 2, False)], ids=["many", "one fold", "cannot"]
)
def test_otherwise_held_out_photographs_train_nothing(tmp_path, count, folds, by_folds):
    split = Split.of(_folder(tmp_path, count), Validation(folds=folds), by_folds)
    assert not split.folds
    assert not set(split.train) & set(split.validation_normal)


def test_no_fold_is_refused():
    with pytest.raises(ValueError, match=r"`folds` must be at least 1, got 0\."):
        Validation(folds=0)
